"""The command line: same words, same numbers, documented exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import henderson as hd
from henderson.cli import DDF, main
from henderson.inference.ddf import METHODS

SCORE = ["--outcome", "score", "--predictor", "edu", "--group", "classroom"]


@pytest.fixture
def csv(tmp_path: Path) -> str:
    """A copy of the tutorial's data with renamed columns, shuffled rows and renamed groups."""
    data = hd.load_dataset("classroom_scores").sample(frac=1, random_state=3)
    data["classroom"] = data["classroom"].astype(str).map({"c0": "x 1", "c1": "x 2", "c2": "x 3"})
    path = tmp_path / "copy.csv"
    names = {"score": "exam mark", "edu": "parents' years", "classroom": "room"}
    data.rename(columns=names).to_csv(path, index=False)
    return str(path)


def piped(text: bytes) -> io.TextIOWrapper:
    """Standard input at the end of a pipe."""
    return io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_approaches_on_a_renamed_shuffled_copy(
    csv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = ["--outcome", "exam mark", "--predictor", "parents' years", "--group", "room"]
    found = run_json(capsys, "approaches", csv, *renamed)["approaches"]
    expected = run_json(capsys, "approaches", "classroom_scores", *SCORE)["approaches"]
    for a, b in zip(found, expected, strict=True):
        for name in ("rmse", "coef", "se", "stat", "p_value", "mse", "lower", "upper"):
            assert a[name] == pytest.approx(b[name], rel=1e-6), (a["key"], name)
    assert [round(a["coef"], 6) for a in found] == [
        *(0.232842, 0.130717, 6.073401, 0.120808, 0.131193, 0.129084, 0.12727)
    ]


def test_approaches_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approaches", "classroom_scores", *SCORE]) == 0
    out = capsys.readouterr().out
    data = hd.load_dataset("classroom_scores")
    assert out == f"{hd.approaches(data, 'score', 'edu', 'classroom')}\n"


def test_json_holds_no_number_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--outcome", "Reaction", "--predictor", "Days", "--group", "Subject")
    found = run_json(capsys, "approaches", "sleepstudy", *arguments)
    rows = {a["key"]: a for a in found["approaches"]}
    assert rows["aggregation"]["available"] is False
    assert rows["aggregation"]["coef"] is None
    assert rows["lmm_inter"]["df"] is None
    assert rows["lmm_inter"]["t_test"]["df"] == pytest.approx(161, rel=1e-6)
    assert found["rows"] == 180
    assert len(found["group_slopes"]) == 18


def test_standard_input(
    csv: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    formula = "`exam mark` ~ `parents' years` + (1 | room)"
    from_file = run_json(capsys, "fit", formula, csv)
    monkeypatch.setattr(sys, "stdin", piped(Path(csv).read_bytes()))
    assert run_json(capsys, "fit", formula, "-") == from_file


def test_fit_in_json_is_the_fit(capsys: pytest.CaptureFixture[str]) -> None:
    formula = "Reaction ~ Days + (Days | Subject)"
    found = run_json(capsys, "fit", formula, "sleepstudy", "--ml")
    fit = hd.lmm(formula, hd.load_dataset("sleepstudy"), method="ML")
    assert found["method"] == "ML"
    assert found["converged"] is True
    assert [row["estimate"] for row in found["fixed"]] == pytest.approx(list(fit.params))
    assert found["random"][0]["vcov"] == pytest.approx(fit.varcorr()["Subject"].iloc[0, 0])
    assert found["groups"] == {"Subject": 18}


def test_fit_prints_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    formula = "score ~ edu + (1 | classroom)"
    assert main(["fit", formula, "classroom_scores", "--ddf", "kenward-roger"]) == 0
    fit = hd.lmm(formula, hd.load_dataset("classroom_scores"))
    assert capsys.readouterr().out == f"{fit.summary('kenward-roger')}\n"


def test_fit_without_random_terms_is_a_linear_model(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "fit", "score ~ edu", "classroom_scores")
    assert found["fixed"][1]["estimate"] == pytest.approx(0.232842, abs=5e-7)
    assert found["random"] == [
        {"group": "Residual", "name1": None, "name2": None, **found["random"][0]}
    ]


def test_ddf_of_the_command_are_those_of_the_package() -> None:
    assert DDF == METHODS


def test_reports_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["approaches", "classroom_scores", *SCORE, "--report", "a.html"]) == 0
    assert "a.html" in capsys.readouterr().err
    fitted = ["fit", "score ~ edu + (1 | classroom)", "classroom_scores", "--report", "f.html"]
    assert main(fitted) == 0
    assert main(["tutorial"]) == 0
    assert "Report: tutorial.html" in capsys.readouterr().err
    for name in ("a.html", "f.html", "tutorial.html"):
        assert "<html" in (tmp_path / name).read_text(encoding="utf-8")[:300]


def test_the_tutorial_can_only_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tutorial", "--no-report"]) == 0
    assert "3.453478" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_tutorial_and_the_data_sets_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "tutorial", "--no-report")
    assert found == run_json(capsys, "approaches", "classroom_scores", *SCORE)
    listed: Any = run_json(capsys, "datasets")
    assert [row["name"] for row in listed] == list(hd.datasets()["name"])


@pytest.mark.parametrize("ending", [".csv.gz", ".parquet"])
def test_compressed_and_columnar_files(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = hd.load_dataset("classroom_scores")
    path = str(tmp_path / f"scores{ending}")
    data.to_parquet(path) if ending == ".parquet" else data.to_csv(path, index=False)
    wanted = run_json(capsys, "fit", "score ~ edu + (1 | classroom)", "classroom_scores")
    assert run_json(capsys, "fit", "score ~ edu + (1 | classroom)", path) == wanted


def test_python_runs_the_package() -> None:
    command = [sys.executable, "-m", "henderson", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"henderson {hd.__version__}\n"


def test_datasets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in hd.datasets()["name"])
    assert max(map(len, out.splitlines())) <= 80


BAD = [
    (["fit", "score ~ eduu + (1 | classroom)", "classroom_scores"], "eduu"),
    (["fit", "score ~ edu + (1 | classroom", "classroom_scores"], "henderson:"),
    (["fit", "score ~ edu", "no_such_file.csv"], "no_such_file.csv"),
    (["fit", "score ~ edu", "classroom_score"], "classroom_score"),
    (["approaches", "classroom_scores", "--outcome", "mark", *SCORE[2:]], "Unknown column 'mark'"),
    (["approaches", "classroom_scores", *SCORE[:4], "--group", "edu"], "three different columns"),
    (["approaches", "classroom_scores", *SCORE, "--report", "no/such/folder/x.html"], "no/such"),
]


@pytest.mark.parametrize(("arguments", "culprit"), BAD)
def test_bad_input_is_one_message_and_exit_code_one(
    arguments: list[str], culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("henderson: ")
    assert culprit in err
    assert "Traceback" not in err


@pytest.mark.parametrize("text", [b"", b"a,a\n1,2\n", b"a,b\n", b"a\n\xe9\n", b"\xff\xfe"])
def test_bad_standard_input(
    text: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", piped(text))
    assert main(["fit", "a ~ 1", "-"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("henderson: ")
    assert "input.csv" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["approaches", "classroom_scores"],
        ["fit", "y ~ x"],
        ["fit", "y ~ x", "sleepstudy", "--ddf", "guess"],
    ],
)
def test_wrong_usage_is_exit_code_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: henderson" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"henderson {hd.__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from henderson.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'matplotlib', 'formulaic'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "exit codes" in done.stdout.lower()


def test_a_reader_that_stops_early_is_no_error() -> None:
    code = "import sys\nfrom henderson.cli import main\nsys.exit(main(['tutorial', '--no-report']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_numbers_of_any_kind_become_plain() -> None:
    from henderson.seven.export import plain

    mixed = {1: np.float64("nan"), "a": [np.int64(2), (np.inf, True, None, "x")], "b": np.bool_(0)}
    assert plain(mixed) == {"1": None, "a": [2, [None, True, None, "x"]], "b": False}
