"""Every setting, in one frozen object, by theme: a file each.

It must not know what a setting means to a room: `stream.params` says that.

Precedence: command-line flag > `PENCHANT_*` environment variable > `penchant.toml` (in the working directory, or the
file named by `PENCHANT_CONFIG`) > the default here. The reference in `deploy/docs` holds the same table for people; a test
compares.
"""

from stream.settings.load import DEFAULT_CONFIG_FILE, ENV_PREFIX, Settings, load_settings, penchant_variables

__all__ = ["DEFAULT_CONFIG_FILE", "ENV_PREFIX", "Settings", "load_settings", "penchant_variables"]
