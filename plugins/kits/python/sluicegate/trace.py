"""What went wrong, as a text with the lines of the author's source."""

import linecache
import os
import sys
import traceback


def keep_sources(module):
    """Reads the sources of the modules in the same folder as this one. When a plugin runs, there are no files."""
    folder = os.path.dirname(module.__file__)
    for each in list(sys.modules.values()):
        path = getattr(each, "__file__", None) or ""
        if path.startswith(folder + "/") and path.endswith(".py"):
            with open(path, encoding="utf-8") as source:
                text = source.read()
            # Without a time of its own an entry is never compared with the file.
            linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)


def trace(error):
    """The traceback of an exception, without the kit's part of it."""
    own = error.__traceback__
    while own is not None and os.path.dirname(own.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        own = own.tb_next
    lines = traceback.format_exception(error.with_traceback(own or error.__traceback__))
    return "".join(lines).rstrip()
