// One-tap copy of what to say.
const said = document.querySelector("[data-said]");
const button = said?.querySelector("[data-copy]");
if (button && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(said.querySelector(".body").textContent);
    const word = button.querySelector("span");
    word.textContent = "Copied";
    setTimeout(() => { word.textContent = "Copy"; }, 2000);
  });
}
