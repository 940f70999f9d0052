// Light, dark, or as the system says. Loaded before the page is drawn, so that nothing flashes; no module for that.
"use strict";

(() => {
  const KEY = "sluicegate-theme";
  const ORDER = ["auto", "light", "dark"];
  const root = document.documentElement;

  function stored() {
    try {
      const found = localStorage.getItem(KEY);
      return ORDER.includes(found) ? found : "auto";
    } catch {
      return "auto"; // a browser that keeps nothing
    }
  }

  function use(theme) {
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
  }

  use(stored());
  document.addEventListener("DOMContentLoaded", () => {
    use(root.dataset.theme);
    document.getElementById("theme").addEventListener("click", () => {
      const next = ORDER[(ORDER.indexOf(root.dataset.theme) + 1) % ORDER.length];
      use(next);
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // for this visit then
      }
    });
  });
})();
