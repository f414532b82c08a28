export default {
    "traffic.title": "Live traffic"
};
