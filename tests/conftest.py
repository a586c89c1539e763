"""MLflow is imported before any test, outside pytest's rule that warnings are errors.

The mirror imports it in a thread. A warning turned into an error there would leave half of its
modules behind, for whichever test comes next.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
