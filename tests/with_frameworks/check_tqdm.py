"""tqdm's recipe: the bar knows the length, and what is written stays whole."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from recipes import play, served

if __name__ == "__main__":
    Path("prompts.txt").write_text("one\ntwo\nthree\n", "utf-8")
    out, err = io.StringIO(), io.StringIO()
    with (
        served(lambda request: request["messages"][0]["content"].upper()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        play("tqdm")
    assert out.getvalue().split() == ["ONE", "TWO", "THREE"], out.getvalue()
    assert "3/3" in err.getvalue(), err.getvalue()
    print("tqdm: all checks passed")
