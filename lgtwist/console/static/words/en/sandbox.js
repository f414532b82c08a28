export default {
    "sandbox.title": "Sandbox"
};
