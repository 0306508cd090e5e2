"""The JVM: compiler and program in one process, with threads, zlib and direct buffers, which come from malloc."""

import shutil

from cases.languages import SCRIPTS
from harness import Run


def single_file_program(run: Run):
    source = run.directory / "Work.java"
    shutil.copyfile(SCRIPTS / "Work.java", source)
    run.same("serial", "java", "-Xmx256m", "-XX:+UseSerialGC", source)
    run.out("javac", "-d", run.directory, source)
    run.keep("class", run.directory / "Work.class")
    run.same("parallel", "java", "-Xmx256m", "-XX:+UseG1GC", "-cp", run.directory, "Work")
