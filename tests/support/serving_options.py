"""Options with which the service and the command line compute the same in tests."""

QUICK = ("--runtime", "torch", "--precision", "fp32", "--threads", "2")
