"""The compiled core's typed face; kept by hand beside native/bindings*.cpp, checked by tests/test_house.py."""
