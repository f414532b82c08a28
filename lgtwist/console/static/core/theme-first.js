// @ts-check
/* Sets the theme before anything is painted: this is no module, and blocks. core/theme.js does the rest. */
(function () {
    var theme = null;
    try {
        theme = localStorage.getItem("lgtwist.theme");
    } catch (error) {
        // forbidden: the system's
    }
    document.documentElement.dataset.theme = theme === "light" || theme === "dark" ? theme : "auto";
})();
