#!/usr/bin/env bash
# Says what comes next, so that a long silence has a name.
printf '\n== %s\n' "$*"
