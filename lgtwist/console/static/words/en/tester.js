export default {
    "tester.title": "Actions"
};
