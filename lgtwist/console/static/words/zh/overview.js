export default {
    "overview.title": "总览"
};
