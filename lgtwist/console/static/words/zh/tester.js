export default {
    "tester.title": "调试"
};
