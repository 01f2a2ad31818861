# The code of a page, as a compiler sees it: awk -v root=PROJECT -v out=FOLDER -f page_sources.awk PAGE writes
#   ```cpp NAME    what follows, to FOLDER/NAME
#   ```diff NAME   PROJECT/NAME with the lines after a + put in, before the next of the other lines that the diff shows. These
#                  are looked for in order; between them the file may have more
# and fails where a line that a diff shows is not there.
function fail(why) {
  printf "%s:%d: %s\n", FILENAME, FNR, why > "/dev/stderr"
  failed = 1
  exit 1
}

# Copies the lines up to the one that is shown, with what waits for it in front.
function copy_to(shown,    line) {
  while ((getline line < source) > 0) {
    if (line == shown) {
      printf "%s%s\n", waiting, line > target
      waiting = ""
      return
    }
    print line > target
  }
  fail(source " has no line '" shown "' there")
}

/^```(cpp|diff) / {
  kind = substr($1, 4)
  source = root "/" $2
  target = out "/" $2
  waiting = ""
  next
}
/^```/ && kind != "" {
  if (kind == "diff") {
    printf "%s", waiting > target
    while ((getline line < source) > 0) print line > target
    close(source)
  }
  close(target)
  kind = ""
  next
}
kind == "cpp" { print > target }
kind == "diff" && /^\+/ { waiting = waiting substr($0, 2) "\n" }
kind == "diff" && /^ / { copy_to(substr($0, 2)) }
END { exit failed }
