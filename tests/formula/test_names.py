"""The names in an expression, and what a formula from a stranger may use."""

import pytest

from henderson.errors import FormulaError
from henderson.formula.names import names, refuse_unsafe


@pytest.mark.parametrize(
    ("text", "variables", "calls"),
    [
        ("1 + x", ("x",), ()),
        ("bs(x, df=df0)", ("x", "df0"), ("bs",)),
        ("f(x == y)", ("x", "y"), ("f",)),
        ("np.log(x) + np.pi", ("x", "np.pi"), ("np.log",)),
        ("`my x` + Q('my y') + f('z')", ("my x", "my y"), ("Q", "f")),
        ("Sepal.Length:x1 + 1e5", ("Sepal.Length", "x1"), ()),
        ("(x).abs() + x", ("x",), ()),
    ],
)
def test_names(text, variables, calls):
    assert names(text).variables == variables
    assert names(text).calls == calls


@pytest.mark.parametrize(
    "text",
    [
        "y ~ x + poly(x, 2, raw=TRUE) + (scale(x) | g/h)",
        "log(y) ~ C(f, contr.sum)*x + I(x^2) + {x + 1}",
        "y ~ sin(2*pi*t) + `my x` + Q('my x') + bs(t, df=4) + us(1 | g, by=s)",
        "y ~ C(f, Treatment('b: 1.5/x'))",
    ],
)
def test_what_statistics_need_is_allowed(text):
    refuse_unsafe(text)


@pytest.mark.parametrize(
    "text",
    [
        "y ~ __import__('os')",
        "y ~ open('x')",
        "y ~ np.load('x')",
        "y ~ x.to_csv('x')",
        "y ~ (x).to_csv('x')",
        "y ~ x[0]",
        "y ~ (lambda: x)()",
        "y ~ {exit()}",
        "y ~ log(x.__class__)",
        "y ~ C(x, f'{x}')",
        "y ~ C(x, 'a\"); open(\"b')",
        'y ~ C(x, "a\'b")',
        "y ~ x; z",
        "y ~ x @ z",
        'y ~ `a"b`',
        "y ~ (log)(x)",
        "y ~ x__y__z",
    ],
)
def test_anything_that_reaches_further_is_refused(text):
    with pytest.raises(FormulaError, match="not trusted"):
        refuse_unsafe(text)
