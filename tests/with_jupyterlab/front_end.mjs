// What JupyterLab renders outputs with: bundled, so that it runs without a browser.
export { MathJaxTypesetter } from "@jupyterlab/mathjax-extension";
export { MimeModel, RenderMimeRegistry, standardRendererFactories } from "@jupyterlab/rendermime";
export { Widget } from "@lumino/widgets";
