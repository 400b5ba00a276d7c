"use strict";
{
  const wipe = document.getElementById("wipe");
  if (wipe) {
    const at = document.getElementById("at");
    const show = () => {
      wipe.style.setProperty("--at", `${at.value}%`);
      at.setAttribute("aria-valuetext", `plate to ${Math.round(at.value)} percent, then comp`);
    };
    at.addEventListener("input", show);
    for (const pair of wipe.querySelectorAll(".pair")) {
      const follow = (event) => {
        if (event.type !== "pointerdown" && event.buttons !== 1) return;
        event.preventDefault();
        const { left, width } = pair.getBoundingClientRect();
        at.value = Math.min(Math.max((100 * (event.clientX - left)) / width, 0), 100);
        show();
      };
      pair.addEventListener("pointerdown", follow);
      pair.addEventListener("pointermove", follow);
    }
    for (const choice of wipe.querySelectorAll("input[name=frame]")) {
      choice.addEventListener("change", () => {
        for (const pair of wipe.querySelectorAll(".pair")) pair.hidden = pair.dataset.frame !== choice.value;
      });
    }
    show();
  }
}
