"""Proves that replies do nothing in a real JupyterLab: `python tests/with_jupyterlab/in_browser.py [FOLDER]`.

Runs a notebook that shows every case of `tests/display/replies.py` in a headless Chromium, by streams, by `%%acytoo`
and by `--history`; then opens it again, as its own and as somebody else's. A mouse moves over all that is shown. Needs
Chromium with its driver, and jupyterlab, selenium and this package in the Python that runs it; no part of the
normal tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CASES = str(Path(__file__).resolve().parents[1] / "display")
CELLS = [
    f"import sys; sys.path.insert(0, {CASES!r})\n"
    "from replies import ATTACKS, HONEST\nfrom acytoo_sdk import Client\nfrom acytoo_sdk.testing import FakeServer\n"
    "replies = [*ATTACKS, *HONEST]\n"
    "server = FakeServer(lambda request: replies[int(request['messages'][-1]['content'])]).start()\n"
    "client = Client(server.url)\nconversation = client.conversation()",
    "for number in range(len(replies)):\n    conversation.send(str(number)).display()",
    "conversation",
    "%load_ext acytoo_sdk\n%acytoo --config client=$client",
    "%%acytoo\n0",
    "%acytoo --history",
]
SEEN = """
    const outputs = [...document.querySelectorAll('.jp-RenderedHTML')];
    const inside = (selector) => outputs.flatMap((output) => [...output.querySelectorAll(selector)]);
    return {
        outputs: outputs.length,
        formulas: inside('mjx-container').length,
        unset: inside('.mathjax_process').filter((each) => !each.querySelector('mjx-container')).length,
        errors: inside('mjx-merror').map((each) => each.textContent),
        acting: inside('*').flatMap((each) => [...each.attributes]
            .filter(({name, value}) => name.startsWith('on') || /url[(]|position: *fixed/.test(value))
            .map(({name, value}) => `${name}=${value}`)),
        links: inside('a').map((each) => each.href).filter((href) => !/^(https?:|mailto:)/.test(href)),
        linkedFormulas: inside('mjx-container a, mjx-container [href]').length,
        alerts: window.alerts,
    };
"""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "own.ipynb")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('{"windowingMode": "none", "maxNumberOutputs": 999}')  # all is in the page
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=", "--expose-app-in-browser", "--allow-root"]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as lab,
    ):
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.2)
            look(f"http://127.0.0.1:{port}", folder)
        finally:
            lab.terminate()


def look(url: str, folder: Path) -> None:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1400,1000", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    script = {"source": "window.alerts = []; window.alert = (what) => window.alerts.push(String(what));"}
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
    try:
        open_notebook(driver, f"{url}/lab/tree/own.ipynb")
        command(driver, "notebook:run-all-cells")
        judge(driver, "just run", url)
        driver.save_screenshot(str(folder / "own.png"))
        command(driver, "docmanager:save")
        stranger = nbformat.read(folder / "own.ipynb", as_version=4)
        stranger.cells[0].source += "\n# not signed"
        nbformat.write(stranger, folder / "strangers.ipynb")
        for name in ("own", "strangers"):
            open_notebook(driver, f"{url}/lab/tree/{name}.ipynb?reset")
            judge(driver, f"{name}, opened again", url)
    finally:
        driver.quit()


def open_notebook(driver: Any, url: str) -> None:
    driver.get(url)
    WebDriverWait(driver, 60).until(lambda _: driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell"))
    time.sleep(5)


def command(driver: Any, name: str) -> None:
    driver.execute_async_script(
        "const done = arguments[1]; window.jupyterapp.commands.execute(arguments[0]).then(() => done(), () => done());",
        name,
    )


def judge(driver: Any, name: str, url: str) -> None:
    """Brings all cells into the page, moves over what they show, and says what was found."""
    time.sleep(10)
    elements = driver.find_elements(By.CSS_SELECTOR, ".jp-RenderedHTML a, .jp-RenderedHTML mjx-container")
    for element in elements:
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        ActionChains(driver, duration=0).move_to_element(element).perform()
    driver.execute_script(
        "document.querySelectorAll('.jp-RenderedHTML *').forEach((each) => ['mouseover', 'mouseenter', 'focus']"
        ".forEach((kind) => each.dispatchEvent(new MouseEvent(kind, {bubbles: true}))))"
    )
    seen = driver.execute_script(SEEN)
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"}
    strangers = sorted(each for each in asked if not each.startswith((url, "data:", "blob:", "chrome")))
    print(f"{name}: {len(elements)} moved over, asked of strangers: {strangers}\n  {seen}")
    bad = ("unset", "errors", "acting", "links", "linkedFormulas", "alerts")
    if strangers or seen["outputs"] < 100 or not seen["formulas"] or any(seen[each] for each in bad):
        raise SystemExit("something acts, or is not set")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="keeps what JupyterLab writes")
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(parser.parse_args().folder or temporary).resolve())
