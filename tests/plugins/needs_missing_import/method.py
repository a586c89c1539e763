"""Needs a package that is not installed."""

import a_package_that_is_not_there
from assay import Method


class NeedsMissingImport(Method):
    package = a_package_that_is_not_there
