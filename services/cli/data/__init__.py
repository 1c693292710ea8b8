"""The real orders that `cuestream demo` replays."""
