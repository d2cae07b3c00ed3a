"""Terms to columns: the names and values of formulaic, numbers without formulaic where possible."""

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from formulaic.transforms import TRANSFORMS
from hypothesis import given
from hypothesis import strategies as st

from henderson.design.columns import Columns
from henderson.design.context import FORMULAIC, functions
from henderson.design.evaluate import fit_expression, fit_spec, plain_terms
from henderson.errors import DataError, DesignError, FormulaError
from henderson.formula import FUNCTIONS

N = 30
RNG = np.random.default_rng(3)
DATA = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "i": np.arange(N) % 5,
        "b": np.arange(N) % 2 == 0,
        "s": np.resize(["u", "v"], N),
        "f": pd.Categorical(np.resize(["lo", "mid", "hi"], N), ["lo", "mid", "hi", "never"]),
        "day": pd.Categorical(np.arange(N) % 4),
    }
)
# formulaic keeps levels that no row has.
USED = DATA.assign(f=DATA.f.cat.remove_unused_categories())


def evaluate(text, data=DATA):
    spec, matrix = fit_spec(text, Columns(data), {})
    return spec, matrix


@given(
    st.lists(st.sampled_from(list(DATA.columns)), unique=True),
    st.sampled_from(["", "1 + ", "0 + ", "-1 + "]),
)
def test_plain_terms_are_those_of_formulaic(columns, start):
    text = (start + " + ".join(columns)).rstrip("+ ") or "1"
    assert plain_terms(text) is not None
    spec, matrix = evaluate(text)
    expected = model_matrix(text, USED, output="numpy")
    assert spec.names == tuple(expected.model_spec.column_names)
    np.testing.assert_array_equal(matrix, np.asarray(expected, dtype=float))


@pytest.mark.parametrize(
    "text", ["x*f", "x:s", "poly(x, 2)", "I(x**2)", "x - x", "0 + 1", "`x`", "x + -1 + 1", "2:x"]
)
def test_anything_else_is_left_to_formulaic(text):
    assert plain_terms(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "x*f",
        "0 + f + f:x",
        "s/x",
        "(x + s)**2",
        "poly(x, 2)",
        "C(f, contr.sum)*x",
        "C(s, Treatment('v'))",
        "C(day, contr.poly)",
        "scale(x):s",
        "I(x > 0)",
        "bs(x, df=4)",
        "x - 1",
        "np.log(x**2)",
    ],
)
def test_names_and_values_of_formulaic(text):
    spec, matrix = evaluate(text)
    expected = model_matrix(text, USED, output="numpy")
    assert spec.names == tuple(expected.model_spec.column_names)
    np.testing.assert_allclose(matrix, np.asarray(expected, dtype=float), atol=1e-15)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{sin(2*pi*x)}", np.sin(2 * np.pi * DATA.x)),
        ("sqrt(i)", np.sqrt(DATA.i)),
        ("abs(x)", np.abs(DATA.x)),
        ("i**-1 if False else 1/(1 + i)", 1 / (1 + DATA.i)),
        ("x.abs()", DATA.x.abs()),
        ("i**30 / 4.0**30", (DATA.i / 4.0) ** 30),
        ("where(x > 0, 1, 0)", (DATA.x > 0) * 1.0),
    ],
)
def test_expressions(text, expected):
    np.testing.assert_allclose(fit_expression(text, Columns(DATA), {})[1], expected, rtol=1e-12)


def test_small_integers_do_not_overflow():
    data = pd.DataFrame({"k": np.array([100, 200, 255], dtype=np.uint8)})
    values = fit_expression("k**2", Columns(data), {})[1]
    assert values.tolist() == [10000.0, 40000.0, 65025.0]


def test_whole_numbers_as_levels_have_no_decimals():
    assert evaluate("C(i)")[0].names[1:] == tuple(f"C(i)[T.{k}]" for k in range(1, 5))
    assert evaluate("factor(i)")[0].names[1] == "factor(i)[T.1]"


def test_r_spellings():
    _, ours = evaluate("poly(x, 2, raw=TRUE)")
    np.testing.assert_allclose(ours[:, 1:], np.column_stack([DATA.x, DATA.x**2]))


@pytest.mark.parametrize("text", ["x + f", "poly(x, 2)*f", "scale(x)", "C(i)", "bs(x, df=4)"])
def test_new_rows_get_the_columns_of_the_fit(text):
    spec, matrix = evaluate(text)
    some = DATA.iloc[[7, 2, 2]].reset_index(drop=True)
    again = spec.matrix(Columns(some, spec.levels))
    np.testing.assert_allclose(again, matrix[[7, 2, 2]], atol=1e-14)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("log(x)", DataError, r"'log\(x\)' is not a finite number in \d+ rows"),
        ("lag(x)", DataError, "not a finite number in 1 rows"),
        ("log(s)", DesignError, "Cannot evaluate"),
        ("x.nope()", DesignError, "nope"),
        ("x + 3", FormulaError, "Numeric literals"),
        ("x::", FormulaError, "Cannot read"),
        ("I(`if`**2)", FormulaError, "inside a function"),
        ("poly(x) poly(x)", FormulaError, "Missing operator"),
    ],
)
def test_refusals(text, error, message):
    with pytest.raises(error, match=message) as caught:
        evaluate(text)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["one", "one*x", "x + one"])
def test_a_factor_with_one_level_has_no_effect(text):
    with pytest.raises(DesignError, match="Column 'one' has one level, 'z'"):
        evaluate(text, DATA.assign(one="z"))


@pytest.mark.parametrize("text", ["t", "log(t)", "t*x"])
def test_dates_are_refused(text):
    data = DATA.assign(t=pd.date_range("2024-01-01", periods=N))
    with pytest.raises(DataError, match="'t' holds dates"):
        evaluate(text, data)


def test_one_column_where_one_is_needed():
    with pytest.raises(DesignError, match="2 columns where one"):
        fit_expression("poly(x, 2)", Columns(DATA), {})
    with pytest.raises(DataError, match="'s' is not numeric"):
        fit_expression("s", Columns(DATA), {})


def test_every_listed_function_exists():
    assert set(TRANSFORMS) | set(functions()) >= FUNCTIONS | FORMULAIC


def test_an_object_column_of_numbers_is_numeric():
    data = pd.DataFrame({"x": np.array([1, 2.5, 3], dtype=object)})
    assert evaluate("x", data)[1][:, 1].tolist() == [1.0, 2.5, 3.0]


# ---- names that are numbers

ODD_TEXTS = [
    "`x`", "0 + `x`", "`x` - 1", "`x` + `i`", "`x`:`i`", "`x`*`f`", "`f`/`x`", "0 + `x`:`f`",
    "(`x` + `i` + `f`)**2", "`x`*`i` - `x`", "`x` + I(`x`**2)", "log(`x` + 9) + `i`",
    "scale(`x`) + `i`", "poly(`x`, 2)", "`x` + {`x` * `i`}", "bs(`x`, df=4)", "C(`f`):`x`",
    "C(`f`, contr.sum)*`x`", "`x` + 1", "`x` + `x`:`x`", "Q('x') + `i`",
]  # fmt: skip


@pytest.mark.parametrize("odd", [("1", "0", "2"), ("0", "1", "1.5"), ("2019", "x y", "a:b")])
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_columns_whose_names_are_numbers_are_columns(text, odd):
    called = dict(zip("xif", odd, strict=True))
    renamed = text.replace("Q('x')", f"Q('{called['x']}')")
    for plain, name in called.items():
        renamed = renamed.replace(f"`{plain}`", f"`\0{name}`")
    renamed = renamed.replace("\0", "")
    plain, expected = evaluate(text)
    spec, matrix = evaluate(renamed, DATA.rename(columns=called))
    np.testing.assert_array_equal(matrix, expected)
    assert "`" not in "".join(n for n in spec.names if "(" not in n and " * " not in n)
    new = spec.matrix(Columns(DATA.rename(columns=called).head(7), spec.levels))
    np.testing.assert_array_equal(new, plain.matrix(Columns(DATA.head(7), plain.levels)))


def test_numbers_are_named_as_they_are():
    data = DATA.rename(columns={"x": "1", "f": "0"})
    spec, _ = evaluate("`1`*`0`", data)
    assert spec.names == ("Intercept", "1", "0[T.mid]", "0[T.hi]", "1:0[T.mid]", "1:0[T.hi]")


def test_backticks_around_a_plain_name_change_nothing():
    spec, matrix = evaluate("scale(`x`) + `i`:x + C(`f`)")
    bare, expected = evaluate("scale(x) + i:x + C(f)")
    assert spec.names == bare.names
    np.testing.assert_array_equal(matrix, expected)
