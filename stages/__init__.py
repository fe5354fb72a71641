"""The stages of dvc.yaml, a command each."""

import os

PARENT = os.getppid()  # before a stage imports anything heavy: the dvc that started it may be killed meanwhile
