// Repeats a load while its page is shown, and the tab is looked at.

// load() is called at once and then every `seconds`, never twice at a time; failures go to failed(error).
export function repeat(load, seconds, left, failed) {
  let timer = null;

  async function once() {
    timer = null;
    try {
      if (!document.hidden) await load();
      failed(null);
    } catch (error) {
      failed(error);
    }
    if (!left.aborted) timer = setTimeout(once, seconds * 1000);
  }

  left.addEventListener("abort", () => clearTimeout(timer));
  return once();
}
