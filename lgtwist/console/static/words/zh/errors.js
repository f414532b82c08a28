export default {
    "error.wrong_token": "令牌不对。",
    "error.no_token_given": "请输入令牌。",
    "error.foreign_origin": "请求来自别的网站，已拒绝。",
    "error.not_logged_in": "请先登录。",
    "error.unauthorized": "请先登录。",
    "error.too_many_streams": "同时打开的控制台太多。",
    "error.unreachable": "lgtwist 没有回应。",
    "error.bad_answer": "收到的回答看不懂（中间的代理？）。",
    "error.status": "lgtwist 回答 HTTP {status}。",
    "error.sentence": "{sentence}",
    "error.gone": "已经不在了。"
};
