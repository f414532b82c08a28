export default {
    "error.wrong_token": "The token is wrong.",
    "error.no_token_given": "Enter the token.",
    "error.foreign_origin": "The request came from another site and was refused.",
    "error.not_logged_in": "Log in first.",
    "error.unauthorized": "Log in first.",
    "error.too_many_streams": "Too many consoles are open.",
    "error.unreachable": "lgtwist does not answer.",
    "error.bad_answer": "The answer makes no sense (a proxy in between?).",
    "error.status": "lgtwist answered HTTP {status}.",
    "error.sentence": "{sentence}",
    "error.gone": "It is not there any more."
};
