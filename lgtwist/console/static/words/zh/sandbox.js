export default {
    "sandbox.title": "沙盒"
};
