"""pandas' recipe: a row that fails leaves the others alone, and is asked again by the next run."""

from __future__ import annotations

from pathlib import Path

from recipes import asked, play, served

from acytoo_sdk import BadRequestError
from acytoo_sdk.testing import Fault

if __name__ == "__main__":
    Path("questions.csv").write_text("question\none\ntwo\nthree\n", "utf-8")
    with served(lambda request: request["messages"][0]["content"].upper(), faults=[Fault.status(400)]) as server:
        frame = play("pandas")["frame"]
        errors = frame["error"][frame["error"].notna()]
        assert [type(error) for error in errors] == [BadRequestError]
        expected = {"one": "ONE", "two": "TWO", "three": "THREE"}
        right = [
            answer == expected[question] for question, answer in zip(frame["question"], frame["answer"], strict=True)
        ]
        assert right == list(frame["error"].isna())
        assert frame["answer"].isna().sum() == 1
        assert play("pandas")["frame"]["answer"].to_list() == ["ONE", "TWO", "THREE"]
        assert len(asked(server)) == 4, "the one that had failed"
    print("pandas: all checks passed")
