"""The version that health, the schema and error reports show."""

VERSION = "0.1.0"
