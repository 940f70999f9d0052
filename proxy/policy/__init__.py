"""The policy: from one YAML file to one frozen object that a request can be decided by."""
