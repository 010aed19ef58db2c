// Renders pages as JupyterLab does, trusted and not, with MathJax: `node check_renderer.cjs FRONT_END CASES`.
//
// Looks for what acts in the document that comes out, moves a mouse over all of it, and compares what is seen.
const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");
const [frontEnd, casesPath] = process.argv.slice(2);
const { JSDOM } = createRequire(frontEnd)("jsdom");

const page = new JSDOM("<!doctype html><body></body>", { url: "http://localhost/", runScripts: "dangerously", pretendToBeVisual: true });
const { window } = page;
const alerts = [];
window.alert = (what) => alerts.push(what);
window.matchMedia = () => ({ matches: false, addListener() {}, addEventListener() {} });
window.ResizeObserver = class { observe() {} disconnect() {} };
window.DragEvent = window.MouseEvent;
window.setImmediate = setImmediate;
window.eval(readFileSync(frontEnd, "utf8"));

const { MathJaxTypesetter, MimeModel, RenderMimeRegistry, standardRendererFactories, Widget } = window.frontEnd;
const { document } = window;

const ELEMENTS = new Set(
  `DIV SPAN P A PRE CODE EM STRONG S UL OL LI H1 H2 H3 H4 H5 H6 BLOCKQUOTE HR BR TABLE THEAD TBODY TR TH TD`.split(" "),
);
const ATTRIBUTES = new Set(["class", "href", "target", "rel", "start", "style"]);

function problemsOf(host) {
  const problems = [];
  for (const element of host.querySelectorAll("*")) {
    const formula = element.closest("mjx-container");
    const attributes = [...element.attributes];
    for (const { name, value } of attributes) {
      const acts = name.startsWith("on") || /url\(|fixed|absolute|javascript:|stranger/i.test(`${name}=${value}`);
      const link = ["href", "src", "xlink:href"].includes(name) && (formula || !/^(https?:|mailto:)/i.test(value));
      if ((acts && name !== "href") || link || (!formula && !ATTRIBUTES.has(name))) {
        problems.push(`${element.tagName} ${name}=${value}`);
      }
    }
    if (!formula && !ELEMENTS.has(element.tagName)) problems.push(element.tagName);
    if (["MERROR", "MJX-MERROR"].includes(element.tagName.toUpperCase())) problems.push(`error: ${element.textContent}`);
    for (const kind of ["mouseover", "mouseenter", "mousemove", "focus", "click"]) {
      const event = new window.MouseEvent(kind, { bubbles: true, cancelable: true });
      event.preventDefault();
      element.dispatchEvent(event);
    }
  }
  return problems;
}

async function main() {
  const latexTypesetter = new MathJaxTypesetter();
  const registry = new RenderMimeRegistry({ initialFactories: standardRendererFactories, latexTypesetter });
  let failures = 0;
  for (const { name, html, formulas, text } of JSON.parse(readFileSync(casesPath, "utf8"))) {
    for (const trusted of [true, false]) {
      const data = { "text/html": html, "text/plain": name };
      const renderer = registry.createRenderer(registry.preferredMimeType(data, trusted ? "any" : "ensure"));
      Widget.attach(renderer, document.body);
      await renderer.renderModel(new MimeModel({ data, trusted }));
      await latexTypesetter.typeset(document.createElement("div")); // what was asked for before is done
      await new Promise((resolve) => setTimeout(resolve, 0));
      const found = problemsOf(renderer.node);
      const set = renderer.node.querySelectorAll("mjx-container").length;
      if (set !== formulas) found.push(`${set} formulas instead of ${formulas}`);
      renderer.node.querySelectorAll("mjx-container").forEach((formula) => formula.replaceWith("⟦⟧"));
      if (renderer.node.textContent !== text) found.push(`reads ${JSON.stringify(renderer.node.textContent)}`);
      if (alerts.length) found.push(`ran ${alerts.splice(0)}`);
      if (found.length) {
        failures += 1;
        console.error(`${trusted ? "trusted" : "sanitized"}: ${JSON.stringify(name)}\n  ${found.join("\n  ")}`);
      }
      renderer.dispose();
    }
  }
  console.log(failures ? `${failures} failed` : "all is well");
  process.exit(failures ? 1 : 0);
}

main();
