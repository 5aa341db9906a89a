// One-tap copy of what to say.
const said = document.querySelector("[data-said]");
const button = said?.querySelector("[data-copy]");
if (button && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const word = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(said.querySelector(".body").textContent);
      word.textContent = "Copied";
    } catch {
      word.textContent = "Copy it by hand";
    }
    setTimeout(() => { word.textContent = "Copy"; }, 2000);
  });
}
