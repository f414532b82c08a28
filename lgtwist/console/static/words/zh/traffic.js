export default {
    "traffic.title": "实时"
};
