// Texts on the page with a contrast below 4.5 (WCAG 2.1, 1.4.3), with their colours.
(() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = parts(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = { texts: 0, drawn: 0, low: [] };
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const quiet = /^(SCRIPT|STYLE|TITLE|DESC)$/i.test(element.tagName);
    if (quiet || !walker.currentNode.textContent.trim()) continue;
    const svg = element instanceof SVGElement;
    const style = getComputedStyle(element);
    const [a, b] = [parts(svg ? style.fill : style.color), behind(element)].map(luminance).sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    seen[svg ? "drawn" : "texts"] += 1;
    if (contrast < 4.5) seen.low.push([walker.currentNode.textContent.trim(), contrast]);
  }
  return seen;
})()
