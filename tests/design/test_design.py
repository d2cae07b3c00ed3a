"""X, y, codes and columns of models on the bundled data, and the same columns for new rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from henderson.data.bundled import load_dataset
from henderson.design import build
from henderson.errors import DataError, DesignError, FormulaError


@pytest.fixture(scope="module")
def sleep():
    return load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def pups():
    return load_dataset("rat_pup")


@pytest.fixture(scope="module")
def machines():
    return load_dataset("machines")


# ---- the fixed part


def test_random_slopes_on_sleepstudy(sleep):
    design = build("Reaction ~ Days + (Days | Subject)", sleep)
    assert (design.n, design.p, design.names) == (180, 2, ("Intercept", "Days"))
    np.testing.assert_array_equal(design.X[:, 1], sleep.Days)
    np.testing.assert_array_equal(design.y, sleep.Reaction)
    (factor,) = design.random
    assert factor.name == "Subject"
    assert factor.names == ("Intercept", "Days")
    assert list(factor.levels) == list(sleep.Subject.cat.categories)
    np.testing.assert_array_equal(factor.levels[factor.codes], sleep.Subject.astype(str))
    np.testing.assert_array_equal(factor.z, design.X)


def test_memory_order_is_what_the_engine_wants(sleep):
    design = build(
        "Reaction ~ Days + I(Days^2) + (Days | Subject) + (0 + I(Days^2) | Subject)", sleep
    )
    assert design.X.flags.f_contiguous
    assert design.random[0].z.flags.c_contiguous
    assert design.random[0].codes.dtype == np.intp


def test_no_fixed_effects_at_all(sleep):
    design = build("Reaction ~ 0 + (1 | Subject)", sleep)
    assert design.X.shape == (180, 0)
    assert design.names == ()
    assert design.new(sleep).X.shape == (180, 0)


def test_aliased_columns_are_dropped_by_name_and_new_rows_follow(sleep):
    data = sleep.assign(Hours=24 * sleep.Days + 1e6)
    design = build("Reaction ~ Hours + Days + (1 | Subject)", data)
    assert design.names == ("Intercept", "Hours")
    assert design.fixed.dropped == ("Days",)
    assert design.new(data.head(3)).X.shape == (3, 2)


def test_empty_cells_of_an_interaction_are_dropped(pups):
    data = pups[~((pups.sex == "Male") & (pups.treatment == "High"))]
    design = build("weight ~ sex * treatment + (1 | litter)", data)
    assert len(design.fixed.dropped) == 1
    assert ":" in design.fixed.dropped[0]


def test_levels_that_the_rows_lack_are_dropped(pups):
    design = build("weight ~ treatment + (1 | litter)", pups, subset="treatment != 'Low'")
    assert design.names == ("Intercept", "treatment[T.High]")
    assert len(design.random[0].levels) == pups[pups.treatment != "Low"].litter.nunique()


def test_strings_are_sorted_by_code_point_and_categoricals_keep_their_order():
    data = pd.DataFrame(
        {
            "y": np.arange(8.0),
            "s": list("bBaAbBaA"),
            "c": pd.Categorical(list("bBaAbBaA"), list("baBA")),
            "g": list("uuvvwwuu"),
        }
    )
    assert build("y ~ 0 + s + (1 | g)", data).names == ("s[A]", "s[B]", "s[a]", "s[b]")
    assert build("y ~ 0 + c + (1 | g)", data).names == ("c[b]", "c[a]", "c[B]", "c[A]")


def test_the_response_may_be_an_expression(sleep):
    plain = build("Reaction ~ Days + (1 | Subject)", sleep)
    np.testing.assert_allclose(
        build("log(Reaction) ~ Days + (1 | Subject)", sleep).y, np.log(plain.y)
    )
    np.testing.assert_allclose(build("Reaction/10 ~ (1 | Subject)", sleep).y, plain.y / 10)
    data = sleep.rename(columns={"Reaction": "reaction time"})
    np.testing.assert_array_equal(build("`reaction time` ~ Days", data).y, plain.y)


# ---- offset and weights


def test_offsets_add_up_and_reach_new_rows(sleep):
    design = build("Reaction ~ offset(2 * Days) + (1 | Subject)", sleep, offset="Days")
    np.testing.assert_allclose(design.offset, 3 * sleep.Days)
    np.testing.assert_allclose(design.new(sleep.tail(4)).offset, 3 * sleep.Days.tail(4))
    assert build("Reaction ~ Days", sleep).offset is None


def test_an_offset_given_as_an_array_cannot_reach_new_rows(sleep):
    design = build("Reaction ~ Days", sleep, offset=sleep.Days.to_numpy())
    with pytest.raises(DesignError, match="offset='column'"):
        design.new(sleep)


def test_weights_follow_the_rows(sleep):
    weights = np.arange(1.0, 181.0)
    design = build("Reaction ~ Days", sleep, weights=weights, subset="Days > 4")
    np.testing.assert_array_equal(design.weights, weights[sleep.Days > 4])


# ---- the random part


def test_nested_groups_are_the_group_and_the_cross(machines):
    nested = build("score ~ Machine + (1 | Worker/Machine)", machines)
    spelt = build("score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", machines)
    assert [f.name for f in nested.random] == ["Worker", "Worker:Machine"]
    for a, b in zip(nested.random, spelt.random, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        assert list(a.levels) == list(b.levels)
    cross = nested.random[1]
    expected = machines.Worker.astype(str) + ":" + machines.Machine.astype(str)
    assert list(cross.levels[cross.codes]) == list(expected)


def test_a_factor_left_of_the_bar(machines):
    (treatment,) = build("score ~ 1 + (Machine | Worker)", machines).random
    (dummies,) = build("score ~ 1 + (0 + Machine | Worker)", machines).random
    assert treatment.names == ("Intercept", "Machine[T.B]", "Machine[T.C]")
    assert dummies.names == ("Machine[A]", "Machine[B]", "Machine[C]")
    np.testing.assert_array_equal(dummies.z.sum(axis=1), 1.0)


def test_terms_on_one_factor_stand_side_by_side(sleep):
    design = build("Reaction ~ Days + (0 + Days | Subject) + (1 | Subject)", sleep)
    (factor,) = design.random
    assert [(s.names, s.columns) for s in factor.slots] == [
        (("Days",), slice(0, 1)),
        (("Intercept",), slice(1, 2)),
    ]
    np.testing.assert_array_equal(factor.z, design.X[:, ::-1])


def test_a_cross_is_one_factor_in_either_order(machines):
    design = build("score ~ 1 + (1 | Worker:Machine) + ar1(0 + score | Machine:Worker)", machines)
    assert [f.name for f in design.random] == ["Worker:Machine"]


def test_the_double_bar_is_one_slot_without_correlations(sleep):
    (factor,) = build("Reaction ~ Days + (Days || Subject)", sleep).random
    (slot,) = factor.slots
    assert (slot.term.structure, slot.names) == ("diag", ("Intercept", "Days"))


def test_a_known_covariance_keeps_a_factor_of_its_own(sleep):
    for terms in ("(1 | Subject) + known(1 | Subject, K)", "known(1 | Subject, K) + (1 | Subject)"):
        k = np.diag(np.linspace(0.5, 2.0, 18))
        design = build(f"Reaction ~ 1 + {terms}", sleep, matrices={"K": k})
        found = {f.name: f.known is not None for f in design.random}
        assert found == {"Subject": False, "Subject (K)": True}


def test_z_repeats_the_codes_and_columns_level_by_level(pups):
    design = build("weight ~ sex + (sex | litter) + (1 | treatment)", pups)
    z = design.Z.toarray()
    assert z.shape == (322, 27 * 2 + 3)
    by_litter = z[:, :54].reshape(322, 27, 2)
    litter = design.random[0]
    rows = np.arange(322)
    np.testing.assert_array_equal(by_litter[rows, litter.codes], litter.z)
    assert np.count_nonzero(by_litter.any(axis=2)) == 322
    np.testing.assert_array_equal(z[:, 54:].argmax(axis=1), design.random[1].codes)


def test_names_of_z(sleep, machines):
    one = build("Reaction ~ Days + (Days | Subject)", sleep)
    assert one.z_names[:3] == ("Intercept[308]", "Days[308]", "Intercept[309]")
    two = build("score ~ 1 + (1 | Worker/Machine)", machines)
    assert two.z_names[0] == f"Worker: Intercept[{machines.Worker.cat.categories[0]}]"
    assert len(two.z_names) == two.Z.shape[1]


# ---- new rows


FORMULAS = [
    "weight ~ sex * treatment + litter_size + (sex | litter)",
    "weight ~ poly(litter_size, 2) + C(sex, contr.sum) + (scale(litter_size) | treatment/litter)",
    "log(weight) ~ 0 + treatment:litter_size + (1 | sex:treatment)",
]


@pytest.mark.parametrize("formula", FORMULAS)
@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.integers(0, 321), min_size=1, max_size=8))
def test_new_rows_get_the_columns_they_had(pups, formula, rows):
    design = build(formula, pups)
    new = design.new(pups.iloc[rows])
    np.testing.assert_allclose(new.X, design.X[rows], atol=1e-13)
    assert list(new.index) == list(pups.index[rows])
    for (codes, z), factor in zip(new.random, design.random, strict=True):
        np.testing.assert_array_equal(codes, factor.codes[rows])
        np.testing.assert_allclose(z, factor.z[rows], atol=1e-13)


def test_unseen_levels_are_an_error_if_fixed_and_minus_one_if_random(pups):
    design = build("weight ~ sex + (1 | treatment/litter)", pups)
    new = pd.DataFrame(
        {
            "sex": ["Male", "Male", "Male", "Male"],
            "treatment": ["High", "High", "Other", None],
            "litter": [str(pups.litter[pups.treatment == "High"].iloc[0]), "1", "1", "1"],
        }
    )
    (outer, _), (inner, _) = design.new(new).random
    assert design.random[0].levels[outer[:2]].tolist() == ["High", "High"]
    assert outer[2:].tolist() == [-1, -1]
    assert inner[0] >= 0
    assert inner[1:].tolist() == [-1, -1, -1]
    with pytest.raises(DesignError, match=r"Column 'sex' has levels .* not seen: 'Unknown'"):
        design.new(new.assign(sex="Unknown"))


def test_an_unseen_level_within_an_expression(sleep):
    design = build("Reaction ~ C(Days) + (1 | Subject)", sleep)
    with pytest.raises(DesignError, match="not seen"):
        design.new(sleep.head(2).assign(Days=77))


def test_an_unseen_level_of_a_factor_left_of_the_bar(machines):
    design = build("score ~ 1 + (0 + Machine | Worker)", machines)
    with pytest.raises(DesignError, match="Column 'Machine'"):
        design.new(machines.head(2).assign(Machine="D"))


@pytest.mark.parametrize("subject", [308, 308.0, "308"])
def test_a_number_finds_the_level_that_writes_it(sleep, subject):
    design = build("Reaction ~ Days + (1 | Subject)", sleep)
    ((codes, _),) = design.new({"Days": [1.0], "Subject": [subject]}).random
    assert design.random[0].levels[codes[0]] == "308"


def test_missing_predictors_give_missing_rows_and_leave_the_others(pups):
    design = build("weight ~ poly(litter_size, 2) + sex + (litter_size | litter)", pups)
    new = pups.head(4).copy()
    new["litter_size"] = new.litter_size.astype(float)
    new.loc[new.index[1], "litter_size"] = np.nan
    new.loc[new.index[2], "sex"] = None
    new.loc[new.index[3], "litter"] = None
    result = design.new(new)
    assert np.isnan(result.X).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_allclose(result.X[[0, 3]], design.X[[0, 3]])
    assert result.random[0][0][3] == -1
    assert result.random[0][0][0] == design.random[0].codes[0]


def test_new_rows_need_the_predictors_and_only_for_random_the_groups(sleep):
    design = build("Reaction ~ Days + (Days | Subject)", sleep)
    with pytest.raises(DataError, match="Days"):
        design.new({"Subject": ["308"]})
    with pytest.raises(DataError, match="Subject"):
        design.new({"Days": [1.0]})
    new = design.new({"Days": [1.0, 2.0]}, random=False)
    assert new.X.tolist() == [[1.0, 1.0], [1.0, 2.0]]
    assert [(c.tolist(), z.shape) for c, z in new.random] == [([-1, -1], (2, 2))]
    with pytest.raises(DataError, match="Column 'Days' has 1 infinite"):
        design.new({"Days": [np.inf], "Subject": ["308"]})
    with pytest.raises(DataError, match="'Days' is not numeric"):
        design.new({"Days": ["x"], "Subject": ["308"]})


def test_integers_with_a_missing_value_keep_their_labels(sleep):
    whole = sleep.assign(subject=sleep.Subject.astype(str).astype(int), third=sleep.Days % 3)
    gap = pd.concat([whole, whole.iloc[:2].assign(subject=None, third=None)], ignore_index=True)
    assert gap["subject"].astype(float).isna().sum() == 2
    gap = gap.astype({"subject": float, "third": float})
    formula = "Reaction ~ C(third) + (1 | subject) + (1 | third:subject)"
    one, other = build(formula, whole), build(formula, gap)
    assert other.names == one.names == ("Intercept", "C(third)[T.1]", "C(third)[T.2]")
    assert other.z_names == one.z_names
    assert other.z_names[0] == "subject: Intercept[308]"
    new = other.new(whole)
    np.testing.assert_array_equal(new.X, one.X)
    np.testing.assert_array_equal(new.random[0][0], one.random[0].codes)


# ---- refusals


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("Subject ~ Days", DataError, "response 'Subject' is not numeric"),
        ("flat ~ Days", DataError, "response 'flat' is constant"),
        ("Days ~ offset(Days) + (1 | Subject)", DataError, "constant"),
        ("Reaction ~ Days + (1 | one)", DesignError, r"'one' has one level, 'x'.*\(1 \| one\)"),
        ("Reaction ~ Days + (1 | row)", DesignError, r"as many levels as there are rows \(180\)"),
        ("Reaction ~ Days + (Days | row)", DesignError, "residual"),
        (
            "Reaction ~ 1 + (1 | Subject) + (Days | Subject)",
            DesignError,
            r"\(0 \+ Days \| Subject\)",
        ),
        ("Reaction ~ 1 + (Days | Subject) + (0 + Days | Subject)", DesignError, "both have 'Days'"),
        ("Reaction ~ 1 + (1 | Subject) + (1 | Subject)", DesignError, "leave it out of one"),
        ("Reaction ~ 1 + (0 | Subject)", DesignError, "no columns"),
        ("Reaction ~ days + (1 | Subject)", DataError, "did you mean 'Days'"),
        ("Reaction ~ foo(Days) + (1 | Subject)", FormulaError, "no function 'foo'"),
        ("Reaction ~ Days + 1 | Subject", FormulaError, "parentheses"),
    ],
)
def test_refusals_name_the_culprit(sleep, formula, error, message):
    data = sleep.assign(flat=1.0, one="x", row=np.arange(180))
    with pytest.raises(error, match=message):
        build(formula, data)


def test_weights_do_not_make_one_row_a_level_identifiable(sleep):
    data = sleep.assign(row=np.arange(180), w=np.arange(1.0, 181.0))
    with pytest.raises(DesignError, match="residual"):
        build("Reaction ~ Days + (1 | row)", data, weights="w")


@pytest.mark.parametrize("term", ["(0 + Days | row)", "known(1 | row, K)", "ar1(0 + Days | one)"])
def test_terms_that_one_row_a_level_can_bear(sleep, term):
    data = sleep.assign(row=np.arange(180), one="x")
    matrices = {"K": np.diag(np.linspace(1.0, 2.0, 180))} if "K" in term else None
    assert len(build(f"Reaction ~ 1 + {term}", data, matrices=matrices).random) == 1


def test_a_formula_from_a_stranger(sleep):
    formula = "Reaction ~ I(Days^2) + (1 | Subject)"
    assert build(formula, sleep, trusted=False).names == ("Intercept", "I(Days ** 2)")
    with pytest.raises(FormulaError, match="not trusted"):
        build("Reaction ~ Days.to_csv('x')", sleep, trusted=False)


def test_the_callers_data_are_left_alone(pups):
    before = pups.copy()
    build("log(weight) ~ sex * scale(litter_size) + (1 | litter)", pups, subset="litter_size > 5")
    pd.testing.assert_frame_equal(pups, before)


def test_the_index_may_repeat(pups):
    data = pups.set_axis(np.zeros(len(pups), dtype=int))
    design = build("weight ~ C(sex, contr.sum) * scale(litter_size) + (1 | litter)", data)
    expected = build("weight ~ C(sex, contr.sum) * scale(litter_size) + (1 | litter)", pups)
    np.testing.assert_allclose(design.X, expected.X)
