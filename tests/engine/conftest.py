"""An installation without compiled kernels has nothing for their tests to compare."""

from henderson.engine import kernels

collect_ignore = (
    ["test_compiled.py", "test_iterative_compiled.py", "test_structured_compiled.py"]
    if kernels.compiled is None
    else []
)
