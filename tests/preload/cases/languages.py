"""Interpreters, each running a script of scripts/ that prints what it computed."""

import pathlib

from harness import Run

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "scripts"


def perl(run: Run):
    run.same("script", "perl", "-w", SCRIPTS / "work.pl")


def ruby(run: Run):
    run.same("script", "ruby", SCRIPTS / "work.rb")
    run.same("script with the compiler", "ruby", "--yjit", SCRIPTS / "work.rb")


def node(run: Run):
    run.same("script", "node", "--expose-gc", SCRIPTS / "work.js")


def lua(run: Run):
    run.same("incremental", "lua5.4", SCRIPTS / "work.lua", "incremental")
    run.same("generational", "lua5.4", SCRIPTS / "work.lua", "generational")


def bash(run: Run):
    run.same("script", "bash", SCRIPTS / "work.bash")
