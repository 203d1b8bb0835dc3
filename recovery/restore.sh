#!/bin/sh
# restore.sh: restores a snapshot of this store without lbs.
#
#   sh restore.sh                              lists the snapshots
#   sh restore.sh SNAPSHOT TARGET [PATH...]    restores into the new directory TARGET
#
# Needs a POSIX shell and awk, tar, sort, od, sed, the program that undoes the filter (zstd, gzip,
# bzip2, xz, lz4, gpg or age), and sha256sum: GNU's, busybox's or others. README.txt, which lies
# beside it, says what is and what is not restored.
#
# How it works. The metadata is put together and becomes a sorted list of entries, checked before
# anything is written. Then one segment after the other is unpacked into a scratch directory, and
# for each an archive is made of its files: awk prints a shell script, which prints headers (the
# names in them are octal escapes, so that no byte of a name can do harm) and, through cat, the
# unpacked objects; tar makes the files of it, with owners, modes and times. So there is no
# process for each file, and what is held in memory does not grow with the snapshot.

set -u
LC_ALL=C
export LC_ALL
umask 077
tab=$(printf '\t')

# No control bytes: what a store holds must not write to the terminal.
printable() { tr -d '\000-\011\013-\037\177'; }
say() { printf '%s\n' "$*" | printable >&2; }
fail() { say "restore.sh: $1"; exit "${2:-1}"; }
# Both are told at once and counted: damage of the store, and what cannot be restored by this.
damage() { say "damaged: $*"; printf '%s\n' "$*" >>damage; }
left_out() { say "left out: $*"; printf '%s\n' "$*" >>left; }
# What awk programs had to tell, in the files damage.new and left.new.
tell() {
  if [ -s damage.new ]; then sed 's/^/damaged: /' damage.new >&2; cat damage.new >>damage; fi
  if [ -s left.new ]; then sed 's/^/left out: /' left.new >&2; cat left.new >>left; fi
  rm -f damage.new left.new
}

usage() {
  cat <<'END'
Usage: sh restore.sh                             list the snapshots
       sh restore.sh SNAPSHOT TARGET [PATH...]   restore into the new or empty directory TARGET

SNAPSHOT is a name as listed, or "latest". With PATHs, as they were saved, only these are restored.
In the environment: LBS_STORE names the store, where this script does not lie in it; LBS_SCRATCH a
directory to make for what is unpacked (else TARGET.lbs-scratch); LBS_UNFILTER a command for an
extension that is not known. Exit codes: 0 all is restored; 1 it could not be done, or not to the
end; 2 wrong use; 3 something was left out, and named; 4 the store is damaged: what is restored and
not named is as it was saved; 130 interrupted.
END
}

case $0 in
  */*) store=${0%/*} ;;
  *) store=. ;;
esac
store=${LBS_STORE:-${store:-/}}
store=$(CDPATH='' cd -- "$store" && pwd) || fail 'cannot enter the store'
# An upload script may have put this file beside the descriptors, and the segments elsewhere.
case $store in
  */snapshots) [ ! -d "$store/../segments" ] || store=${store%/snapshots}/ ;;
esac

# Descriptors lie in the store itself, or where older programs have put them.
descriptors() {
  for file in "$store"/snapshot-*.lbs "$store"/snapshot-*.cumulus \
    "$store"/snapshots/snapshot-*.lbs "$store"/snapshots/snapshot-*.cumulus; do
    [ ! -f "$file" ] || printf '%s\n' "$file"
  done
}
names() { sed -e 's,.*/snapshot-,,' -e 's/\.lbs$//' -e 's/\.cumulus$//'; }

# The text of a descriptor: of a clear-signed one what is signed, and nothing that stands around it.
text_of() {
  if grep -q '^-----BEGIN PGP SIGNED MESSAGE-----' "$1"; then
    signed_part "$1" | sed -e '1,/^[[:space:]]*$/d' -e '/^-----BEGIN PGP SIGNATURE-----/,$d' -e 's/^- //'
  else
    cat "$1"
  fi
}
signed_part() {
  sed -n -e '/^-----BEGIN PGP SIGNED MESSAGE-----/,/^-----END PGP SIGNATURE-----/p' \
    -e '/^-----END PGP SIGNATURE-----/q' "$1"
}

field() { sed -n "s/^$1: //p" "$2" | head -n 1 | printable; }

list() {
  [ -n "$(descriptors)" ] || { say "There is no snapshot in $store."; return; }
  printf '%-28s %-26s %-12s %10s %16s\n' SNAPSHOT DATE HOST FILES BYTES
  descriptors | while IFS= read -r file; do
    { printf 'Name: %s\n' "$file" | names; text_of "$file"; } | awk '
      { at = index($0, ": "); key = substr($0, 1, at - 1); if (NR == 1) v["Name"] = $0 }
      at && !(key in v) { v[key] = substr($0, at + 2) }
      END {
        printf "%-28s %-26s %-12s %10s %16s\n", v["Name"], v["Date"], v["Host"], v["Files"], v["Bytes"]
      }'
  done | printable
  echo
}

case ${1-} in
  '') list; usage; exit 0 ;;
  -h | --help) usage; exit 0 ;;
  -* | */*) usage >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { usage >&2; exit 2; }
name=$1
target=$2
shift 2

if [ "$name" = latest ]; then
  # Names begin with a scheme, perhaps; the time is at their end.
  name=$(descriptors | names | while IFS= read -r name; do
    printf '%s %s\n' "${name##*-}" "$name"
  done | sort | sed -n '$s/^[^ ]* //p')
fi
stored=
for file in "$store/snapshot-$name" "$store/snapshots/snapshot-$name"; do
  for extension in lbs cumulus; do
    if [ -z "$stored" ] && [ -f "$file.$extension" ]; then stored=$file.$extension; fi
  done
done
[ -n "$stored" ] || fail "there is no snapshot $name in $store: \"sh restore.sh\" lists them"

# --- places -----------------------------------------------------------------------------------

mkdir -p -- "$target" || fail "cannot make the directory $target"
[ -z "$(ls -A -- "$target")" ] || fail "$target is not empty: name a new directory" 2
target=$(CDPATH='' cd -- "$target" && pwd) || fail "cannot enter $target"
scratch=${LBS_SCRATCH:-$target.lbs-scratch}
mkdir -- "$scratch" || fail "cannot make the scratch directory $scratch (left by another run?)"
scratch=$(CDPATH='' cd -- "$scratch" && pwd) || fail "cannot enter $scratch"
trap 'cd /; rm -rf -- "$scratch"' EXIT
trap 'say "interrupted: a part is in $target; remove it before the next run"; exit 130' HUP INT TERM
cd "$scratch" || fail "cannot enter $scratch"
# Here sort has its temporary files too.
TMPDIR=$scratch
export TMPDIR
no_room() { fail "stopped: is there room in $scratch and $target? What is in $target is not complete"; }
mkdir h z in meta now keep jobs hold drop || no_room
for list in damage left sizes keep.sizes wanted dirs files linked others links kept segments holds drops; do : >$list; done

# Zeros in files of 1, 2, 4, ... bytes: what archives and sparse files are filled up with.
printf '\000' >z/1
size=1
while [ $size -lt 1048576 ]; do
  cat z/$size z/$size >z/$((size * 2)) || no_room
  size=$((size * 2))
done

# The escaped form of a path, as metadata has it.
escaped() {
  printf '%s' "$1" | od -An -v -tx1 | awk '
    BEGIN { for (i = 43; i < 127; i++) if (i != 64) literal[sprintf("%02x", i)] = sprintf("%c", i) }
    { for (i = 1; i <= NF; i++) text = text (($i in literal) ? literal[$i] : "%" $i) }
    END {
      gsub(/\/\/+/, "/", text)
      sub(/^(\.?\/)+/, "", text)
      sub(/\/$/, "", text)
      print text == "" ? "." : text
    }'
}
for path in "$@"; do escaped "$path" >>wanted; done

# --- checksums and segments ---------------------------------------------------------------------

read_descriptor() {
  text_of "$stored" >descriptor || no_room
  format=$(field Format descriptor)
  case $format in
    'LBS Snapshot v0.'* | 'Cumulus Snapshot v0.'*) ;;
    *) fail "snapshot $name is of a format that this script does not know: $format" ;;
  esac
  grep -q '^-----BEGIN PGP SIGNED MESSAGE-----' "$stored" || return 0
  # Where gpg and the key are at hand; a signature is no condition for a restore.
  signed_part "$stored" >signed
  : >status
  gpg --batch --status-fd 3 --verify signed 3>status 2>errors
  by=$(sed -n 's/^\[GNUPG:\] GOODSIG [0-9A-F]* //p' status)
  if grep -q '^\[GNUPG:\] BADSIG ' status; then
    damage 'the signature of the descriptor is wrong: it was changed after it was signed'
  elif [ -n "$by" ]; then
    say "The descriptor has a good signature by: $by"
  else
    say "note: the descriptor is signed, which could not be checked: $(tail -n 1 errors)"
  fi
}

# sum_of ALGORITHM FILE: its checksum; nothing where there is no such program.
sum_of() {
  case $1 in sha1 | sha224 | sha256) ;; *) return ;; esac
  command -v "${1}sum" >/dev/null 2>&1 && "${1}sum" <"$2" | sed 's/ .*//'
}

# The first hash that is good for the segments, and the file with their sums.
read_sums() {
  hash=
  for algorithm in sha256 sha1; do
    key=Checksums
    [ $algorithm = sha1 ] || key=Checksums_sha256
    recorded=$(field $key descriptor)
    base=snapshot-$name.${algorithm}sums
    file=$store/$base
    [ -f "$file" ] || file=$store/checksums/$base
    if [ ! -f "$file" ]; then
      [ -z "$recorded" ] || damage "$base is missing"
      continue
    fi
    found=$(sum_of $algorithm "$file")
    if [ -n "$found" ] && [ "${recorded:-$algorithm=$found}" != "$algorithm=$found" ]; then
      damage "$base is not as the descriptor says"
    elif [ -n "$found" ] && [ -z "$hash" ]; then
      hash=$algorithm
      cat "$file" >sums || no_room
    fi
  done
  [ -n "$hash" ] || read_segment_metadata
  [ -n "$hash" ] || say 'note: there are no checksums of segments that can be used'
}

# Cumulus 0.11 has instead a list with a stanza for each segment, behind their filter.
read_segment_metadata() {
  recorded=$(field Segment-metadata descriptor)
  [ -n "$recorded" ] || return 0
  for file in "$store/meta/snapshot-$name.meta"*; do
    base=${file##*/}
    [ -f "$file" ] || { damage "$base is missing"; return; }
    found=$(sum_of "${recorded%%=*}" "$file")
    [ -n "$found" ] || return 0
    [ "$recorded" = "${recorded%%=*}=$found" ] || { damage "$base is not as the descriptor says"; return; }
    check_programs "${base#*.meta}"
    hash=${recorded%%=*}
    undo "${base#*.meta}" <"$file" | awk -v hash="$hash=" '
      /^checksum: / { sum = index($2, hash) == 1 ? substr($2, length(hash) + 1) : "" }
      /^path: / { path = $2; sub(/.*\//, "", path) }
      /^$/ { if (sum != "") print sum " *" path; sum = "" }' >sums
    return
  done
}

# undo EXTENSION: undoes a filter, from standard input to standard output.
undo() {
  case $1 in
    '') cat ;;
    *.zst) zstd -dcq | undo "${1%.zst}" ;;
    *.gz) gzip -dc | undo "${1%.gz}" ;;
    *.bz2) bzip2 -dc | undo "${1%.bz2}" ;;
    *.xz) xz -dc | undo "${1%.xz}" ;;
    *.lz4) lz4 -dc | undo "${1%.lz4}" ;;
    *.gpg) gpg --quiet --decrypt | undo "${1%.gpg}" ;;
    *.age) age -d ${LBS_AGE_IDENTITY:+-i "$LBS_AGE_IDENTITY"} | undo "${1%.age}" ;;
    *) sh -c "$LBS_UNFILTER" ;;
  esac
}

# check_programs EXTENSION: ends the run when what undoes this filter is not here.
check_programs() {
  rest=$1
  while [ -n "$rest" ]; do
    case $rest in
      *.zst) program=zstd ;;
      *.bz2) program=bzip2 ;;
      *.gz) program=gzip ;;
      *.xz | *.lz4 | *.gpg | *.age) program=${rest##*.} ;;
      *)
        [ -n "${LBS_UNFILTER:-}" ] ||
          fail "nothing is known that undoes $1: name a command for it in LBS_UNFILTER"
        return
        ;;
    esac
    command -v $program >/dev/null 2>&1 ||
      fail "this store needs the program $program, for files *.tar$1: install it"
    rest=${rest%.*}
  done
}

# locate SEGMENT: sets `file`, empty where there is none, its name `base` and its sum `recorded`.
locate() {
  file=
  recorded=
  for directory in "$store" "$store/segments0" "$store/segments1" "$store/segments"; do
    for found in "$directory/$1.tar" "$directory/$1".tar.*; do
      [ -f "$found" ] || continue
      [ -z "$hash" ] ||
        recorded=$(awk -v name="${found##*/}" '$2 == name || $2 == "*" name { print $1; exit }' sums)
      # What has a checksum goes before what lies there besides.
      if [ -z "$file" ] || [ -n "$recorded" ]; then file=$found; fi
      [ -z "$recorded" ] || break 2
    done
  done
  base=${file##*/}
}

# unpack SEGMENT DIRECTORY: makes DIRECTORY/SEGMENT with the objects that can be had.
unpack() {
  locate "$1"
  rm -rf in "${2:?}/$1"
  mkdir in || no_room
  if [ -z "$file" ]; then
    damage "segment $1 is missing"
  else
    check_programs "${base#*.tar}"
    if [ -n "$hash" ] && [ -z "$recorded" ]; then
      damage "$base has no checksum in this snapshot"
    elif [ -n "$hash" ] && [ "$recorded" != "$(sum_of "$hash" "$file")" ]; then
      damage "$base is not as it was stored"
    fi
    : >errors
    # Some tar programs are content with nothing at all.
    if ! undo "${base#*.tar}" <"$file" 2>>errors | tar -x -o -f - -C in 2>>errors ||
      [ ! -d "in/$1" ]; then
      if grep -q 'No space left' errors; then no_room; fi
      # Said first, because the programs behind it say more.
      if grep -q -i -e 'no secret key' -e 'secret key not available' -e 'no identity matched' errors; then
        [ "$2" != meta ] ||
          fail "the secret key of $base is not here: import it, or run this where it is. Nothing is damaged"
        damage "$base cannot be decrypted: its secret key is not here"
      else
        damage "$base cannot be unpacked as a whole: $(tail -n 3 errors | tr '\n' ' ')"
      fi
    fi
  fi
  if [ -d "in/$1" ] && [ ! -h "in/$1" ]; then mv "in/$1" "$2/"; else mkdir "$2/$1"; fi
  rm -rf in
  # Only plain files with numbers for names are objects, whatever else an archive may hold.
  (cd "$2/$1" && find . ! -name . \( ! -type f -o -name '*[!0-9a-f]*' \) -prune -exec rm -rf {} +)
}

# --- the list of entries ------------------------------------------------------------------------

# Prints the metadata with its lines @REFERENCE replaced; segments that it needs go to `need`.
expand='
function include(ref, depth, list,   object, segment, file, from, upto, slice, plus, at, line, got) {
  object = ref
  sub(/[(\[].*/, "", object)
  if (depth > 3 || object !~ /^[0-9a-f][-0-9a-f]*\/[0-9a-f]+$/) {
    print "a reference of the metadata cannot be followed" > "damage.new"
    return
  }
  from = 0; upto = -1
  if (match(ref, /\[[0-9+=]+\]$/)) {
    slice = substr(ref, RSTART + 1, RLENGTH - 2)
    sub(/^=/, "", slice)
    plus = index(slice, "+")
    if (plus > 0) from = substr(slice, 1, plus - 1) + 0
    upto = from + substr(slice, plus + 1)
  }
  segment = object
  sub(/\/.*/, "", segment)
  if (!(segment in have)) {
    have[segment] = system("test -d meta/" segment) == 0
    if (!have[segment]) print segment > "need"
  }
  if (!have[segment]) return
  file = "meta/" object
  if (file in reading) return
  reading[file] = 1
  at = 0
  while ((got = (getline line < file)) > 0) {
    if (upto >= 0 && at >= upto) break
    if (at >= from) {
      if (substr(line, 1, 1) == "@") include(substr(line, 2), depth + 1, list)
      # LBS 0.5.1 has the blocks of a large file in an object of their own.
      else if (line ~ /^data:[ \t]*@/) {
        print "data:"
        sub(/^data:[ \t]*@/, "", line)
        include(line, 1, "    ")
      } else print list line
    }
    at += length(line) + 1
  }
  if (got < 0) print "the metadata object " object " is lost, and the entries in it" > "damage.new"
  else close(file)
  delete reading[file]
}
BEGIN { include(root, 1) }'

# Makes of each stanza a line: key (the name with ! for /), type, mode, uid, gid, mtime, its
# nanoseconds, size, sum, inode where it has several links, device, target, data.
stanzas='
BEGIN {
  OFS = "\t"
  for (i = 1; i < 256; i++)
    known[sprintf("%%%02x", i)] = (i > 42 && i < 127 && i != 64) ? sprintf("%c", i) : sprintf("%%%02x", i)
  count = split("name path type mode user group mtime mtime_ns size checksum sha256 links inode device target contents", keys, " ")
  for (i = 1; i <= count; i++) wants[keys[i]] = 1
  while ((getline line < "wanted") > 0) wanted[++paths] = line
}
function plain(text,   out, at, code) {
  while ((at = index(text, "%")) > 0) {
    code = tolower(substr(text, at, 3))
    if (!(code in known)) return ""
    out = out substr(text, 1, at - 1) known[code]
    text = substr(text, at + 3)
  }
  out = out text
  return out ~ /^[%+-?A-~]+$/ ? out : ""
}
function bytes(text) { return length(text) - 2 * gsub(/%/, "%", text) }
function number(text) { sub(/ .*/, "", text); return text ~ /^[0-9]+$/ ? text + 0 < 4294967296 ? text : "" : "" }
function refuse(why) { print "the entry " shown ": " why > "damage.new" }
function is_chosen(name, type,   i, path, found) {
  if (!paths) return 1
  for (i = 1; i <= paths; i++) {
    path = wanted[i]
    if (path == "." || (name "") == path || index(name, path "/") == 1) is_there[i] = found = 1
    else if (type == "d" && (name == "." || index(path, name "/") == 1)) found = 1
  }
  return found
}
function entry(   name, type, target, sum, inode, i, device) {
  shown = ("name" in v) ? v["name"] : v["path"]
  if (shown == "") return
  if (shown !~ /^[%+-?A-~]+$/) shown = "with unprintable bytes"
  name = plain(("name" in v) ? v["name"] : v["path"])
  type = v["type"]
  if (type == "-") type = "f"
  if (name == "") return refuse("its name cannot be read")
  if (name ~ /^\//) return refuse("refused, its name is absolute")
  if (name != "." && ("/" name "/") ~ /\/(\.\.?)?\//) return refuse("refused, its name leads elsewhere")
  if (!is_chosen(name, type)) return
  if (bytes(name) > 4090) { print substr(shown, 1, 80) "...: the path is too long for tar" > "left.new"; return }
  if (type == "s") { print shown ": a socket" > "left.new"; return }
  if (type !~ /^[fdlpcb]$/) return refuse("its type is unknown")
  if (!("mode" in v)) v["mode"] = type == "d" ? "0755" : "0644"
  if (v["mode"] !~ /^[0-7]+$/ || length(v["mode"]) > 6) return refuse("its mode cannot be read")
  if (v["mtime"] !~ /^-?[0-9]+$/ || length(v["mtime"]) > 15) v["mtime"] = 0
  if (v["mtime_ns"] !~ /^[0-9]+$/ || v["mtime_ns"] + 0 >= 1000000000) v["mtime_ns"] = 0
  target = device = ""
  if (type == "l") {
    target = plain(("target" in v) ? v["target"] : v["contents"])
    if (target == "" || bytes(target) > 4095) return refuse("its target cannot be read")
  }
  if (type == "c" || type == "b") {
    device = v["device"]
    if (device !~ /^[0-9]+\/[0-9]+$/) return refuse("its device numbers cannot be read")
  }
  if (type == "f") {
    if (v["size"] !~ /^[0-9]+$/ || length(v["size"]) > 15) return refuse("its size cannot be read")
    if (v["sha256"] ~ /^[0-9a-f]+$/ && length(v["sha256"]) == 64) sum = "sha256=" v["sha256"]
    else if (v["checksum"] ~ /^sha(1|224|256)=[0-9a-f]+$/) sum = v["checksum"]
    for (i = 1; i <= refs; i++) {
      if (ref[i] ~ /^zero\[[0-9]+\]$/) continue
      if (ref[i] !~ /^[0-9a-f][-0-9a-f]*\/[0-9a-f]+(\([a-z0-9]+=[0-9a-f]+\))?(\[[0-9]*[+=]?[0-9]+\])?$/)
        return refuse("a reference in it cannot be read")
    }
  }
  if (type != "d" && v["links"] + 0 > 1 && v["inode"] ~ /^[0-9A-Za-z\/]+$/) inode = v["inode"]
  gsub(/\//, "!", name)
  printf "%s", name OFS type OFS v["mode"] OFS (number(v["user"]) + 0 ? number(v["user"]) : 0) OFS \
    (number(v["group"]) + 0 ? number(v["group"]) : 0) OFS v["mtime"] OFS v["mtime_ns"] OFS v["size"] OFS sum OFS inode OFS device OFS target OFS
  if (type == "f") for (i = 1; i <= refs; i++) printf "%s ", ref[i]
  printf "\n"
}
# Not by "for (key in v)", of which the awk of busybox keeps some memory every time.
function forget() { split("", v); refs = 0; key = "" }
function data(text,   n, i, part) { n = split(text, part, " "); for (i = 1; i <= n; i++) ref[++refs] = part[i] }
/^$/ { entry(); forget(); next }
/^[ \t]/ { if (key == "data") data($0); else if (key in wants) v[key] = v[key] $0; next }
{
  at = index($0, ":")
  key = substr($0, 1, at - 1)
  if (key == "data") data(substr($0, at + 1))
  else if (key in wants) { text = substr($0, at + 1); sub(/^[ \t]+/, "", text); v[key] = text }
}
END {
  entry()
  for (i = 1; i <= paths; i++)
    if (!is_there[i]) print wanted[i] ": not in the snapshot" > "left.new"
}'

# In the order of keys a directory comes before what is in it: only what lies in a directory of
# this snapshot is made, so that nothing goes through a symbolic link, and no name comes twice.
tree='
BEGIN { FS = "\t" }
{
  shown = $1
  gsub(/!/, "/", shown)
  parent = $1
  depth = gsub(/!/, "!", parent)
  sub(/!?[^!]*$/, "", parent)
  # Compared as texts: awk takes "1" and "01" for the same number.
  if (($1 "") == (last "")) { print "the entry " shown ": refused, it comes twice" > "damage.new"; next }
  last = $1
  if (depth > 0 && (dirs[depth - 1] "") != (parent "")) {
    print "the entry " shown ": refused, it lies in no directory of the snapshot" > "damage.new"
    next
  }
  dirs[depth] = $2 == "d" ? $1 : ""
  list = $2 == "d" ? "dirs" : $10 != "" ? "linked" : $2 == "f" ? "files" : "others"
  print > list
}'

# Of the names of one file the first becomes the file and the others links to it. One that was read
# when the file had changed is a file of its own: the first field is all that they must have in common.
same='
BEGIN { FS = OFS = "\t" }
{ common = $1 "="; sub(/^[^\t]*\t/, "") }
common != last { last = common; first = $1; print >> ($2 == "f" ? "files" : "others"); next }
{ $2 = "h"; $12 = first; gsub(/!/, "/", $12); $13 = ""; print > "links" }'

# Gives segments an order, and every file the segment with which it is complete; what is needed
# after the turn of its segment, because a file goes on in the next, is noted to be kept.
order='
BEGIN { FS = "\t" }
{
  count = split($13, ref, " ")
  last = several = 0
  for (i = 1; i <= count; i++) {
    if (ref[i] ~ /^zero/) continue
    segment = ref[i]
    sub(/\/.*/, "", segment)
    if (!(segment in turn)) {
      turn[segment] = ++turns
      printf "%08d %s\n", turns, segment > "segments"
    }
    if (last && turn[segment] != last) several = 1
    if (turn[segment] > last) last = turn[segment]
  }
  printf "%08d\t", last
  print
  if (!several) next
  for (i = 1; i <= count; i++) {
    if (ref[i] ~ /^zero/) continue
    object = segment = ref[i]
    sub(/[(\[].*/, "", object)
    sub(/\/.*/, "", segment)
    if (turn[segment] < last) printf "%s %08d %08d\n", object, turn[segment], last > "kept"
  }
}'

# Merges sorted files, whose lines come mostly from one of them for long.
merge='
function next_line(   i, text, file) {
  file = files[1]
  if ((getline text < file) <= 0) {
    close(file)
    for (i = 1; i < count; i++) { files[i] = files[i + 1]; lines[i] = lines[i + 1] }
    count--
    return
  }
  for (i = 1; i < count && (lines[i + 1] "") < (text ""); i++) {
    files[i] = files[i + 1]
    lines[i] = lines[i + 1]
  }
  files[i] = file
  lines[i] = text
}
function put_first(file,   i) {
  for (i = ++count; i > 1; i--) { files[i] = files[i - 1]; lines[i] = lines[i - 1] }
  files[1] = file
  lines[1] = ""
  next_line()
}
BEGIN {
  for (arg = 1; arg < ARGC; arg++) put_first(ARGV[arg])
  while (count > 0) { print lines[1]; next_line() }
}'

# sorted FILE: prints its lines in order, and removes it. In parts, because there are sort programs
# that hold all of it in memory.
sorted() {
  rm -f chunk.*
  awk -v lines="$lines_at_once" "$parts" name=chunk "$1" || no_room
  rm -f "$1"
  set -- chunk.*
  [ -f "$1" ] || return 0
  for chunk in "$@"; do sort -o "$chunk" "$chunk" || no_room; done
  if [ $# -eq 1 ]; then cat "$1"; else awk "$merge" "$@"; fi || no_room
  rm -f chunk.*
}
lines_at_once=20000
# Files of so many lines each.
parts='
(NR - 1) % lines == 0 { if (file) close(file); file = sprintf("%s.%08d", name, NR) }
{ print > file }'
# Lines that begin with a number, into a file for each number.
by_turn='
BEGIN { FS = "\t" }
($1 "") != turn { if (turn != "") close(file); turn = $1 ""; file = dir "/" turn }
{ print substr($0, 10) > file }'

plan() {
  root=$(field Root descriptor)
  while :; do
    rm -f need damage.new
    awk -v root="$root" "$expand" >log || no_room
    [ -s need ] || break
    sort -u need >needed || no_room
    while read -r segment <&3; do unpack "$segment" meta; done 3<needed
  done
  tell
  [ -f "meta/${root%%[[(]*}" ] ||
    fail 'the beginning of the metadata cannot be read: nothing can be restored'
  awk "$stanzas" log >list || no_room
  tell
  rm -rf log meta
  sorted list >entries
  awk "$tree" entries || no_room
  tell
  rm -f entries
  awk -F "$tab" '{ print $10 " " $2 " " $8 " " $9 " " $12 FS $0 }' linked >list || no_room
  sorted list >linked
  awk "$same" linked || no_room
  sorted files >files.sorted
  awk "$order" files.sorted >list || no_room
  sorted list >jobs.sorted
  awk -v dir=jobs "$by_turn" jobs.sorted || no_room
  # For each object its last use, then by the turn at which it is kept, and at which it goes.
  sorted kept >list
  awk '
    function put() { print turn "\t" object > "holds"; print last "\t" object > "drops" }
    NR > 1 && ($1 "") != object { put() }
    { object = $1 ""; turn = $2 ""; last = $3 "" }
    END { if (NR) put() }' list || no_room
  for list in hold drop; do
    sorted ${list}s >list
    awk -v dir=$list "$by_turn" list || no_room
  done
  rm -f list jobs.sorted linked
}

# --- making entries -----------------------------------------------------------------------------

# Makes of entries a shell script that prints a tar archive. Names stand in GNU long name headers,
# nanoseconds in pax headers; variables A, B and C are what is the same in all headers.
archive='
BEGIN {
  FS = "\t"
  for (i = 1; i < 256; i++) {
    octal_of["%" sprintf("%02x", i)] = "\\" sprintf("%03o", i)
    byte_of["%" sprintf("%02x", i)] = sprintf("%c", i)
  }
  octal_of["\\"] = "\\134"
  octal_of["`"] = "\\140"
  for (i = 0; i < 8; i++) code[i] = 48 + i
  code["x"] = 120; code["L"] = 76; code["K"] = 75
  # Were a piece lost on the way, tar would take content for headers.
  print "set -e"
  kind["f"] = 0; kind["h"] = 1; kind["l"] = 2; kind["c"] = 3; kind["b"] = 4; kind["d"] = 5; kind["p"] = 6
  print "A=\"" zeros(99) "\""
  print "B=\"ustar\\00000" zeros(64) "\""
  print "C=\"" zeros(167) "\""
}
function zeros(count,   text) { while (count-- > 0) text = text "\\000"; return text }
function octal(n, width,   text, digit) {
  total += 48 * width
  while (width-- > 0) { digit = n % 8; total += digit; text = digit text; n = (n - digit) / 8 }
  return text
}
# A field of a header: octal, or as GNU writes what is too large for that.
function number(n, width,   text, i, byte) {
  if (n < (width == 7 ? 2097152 : 8589934592)) return octal(n, width) "\\000"
  total += 128
  for (i = 0; i < width; i++) {
    byte = n % 256
    total += byte
    text = "\\" sprintf("%03o", byte) text
    n = (n - byte) / 256
  }
  return "\\200" text
}
function mode_of(text,   i) {
  text = substr("0000000" text, length(text) + 1)
  for (i = 1; i <= 7; i++) total += 48 + substr(text, i, 1)
  return text "\\000"
}
function header(type, mode, uid, gid, size, mtime, major, minor,   front, device, link) {
  # bsdtar makes a symbolic link only where the short name of its target is not empty.
  link = type == 1 || type == 2 ? "x" : "\\000"
  total = (link == "x" ? 120 : 0) + 256 + 120 + 559 + 96 + code[type]
  front = mode_of(mode) number(uid, 7) number(gid, 7) number(size, 11) number(mtime, 11)
  device = number(major, 7) number(minor, 7)
  return "x${A}" front octal(total, 6) "\\000 " type link "${A}${B}" device "${C}"
}
function pad(size) { size = (512 - size % 512) % 512; return size ? "%" size "s" : "" }
# A name in the format of printf, in double quotes.
function shell_text(text,   out, piece) {
  while (match(text, /[%\\`]/)) {
    piece = substr(text, RSTART, 1)
    if (piece == "%") piece = substr(text, RSTART, 3)
    out = out substr(text, 1, RSTART - 1) octal_of[piece]
    text = substr(text, RSTART + length(piece))
  }
  return out text
}
function raw(text,   out, at) {
  while ((at = index(text, "%")) > 0) {
    out = out substr(text, 1, at - 1) byte_of[substr(text, at, 3)]
    text = substr(text, at + 3)
  }
  return out text
}
function long_name(type, name,   size) {
  size = length(name)
  size = size - 2 * gsub(/%/, "%", name) + 1
  # For busybox a name has 4095 bytes at most: the NUL of the longest is in the padding.
  return header(type, "644", 0, 0, size == 4096 ? 4095 : size, 0, 0, 0) shell_text(name) "\\000" pad(size)
}
function nanoseconds(s, ns,   text, size) {
  # Nanoseconds count forward from the second, also before 1970.
  if (substr(s, 1, 1) == "-" && ns > 0) text = "-" sprintf("%.0f", -s - 1) "." sprintf("%09d", 1000000000 - ns)
  else text = s "." sprintf("%09d", ns)
  size = length(text) + 10
  return header("x", "644", 0, 0, size, 0, 0, 0) size " mtime=" text "\\n" pad(size)
}
function member(name, size,   text, number_of, s) {
  s = $6 < 0 || $6 >= 8589934592 ? 0 : $6 + 0
  if ($12 != "") text = long_name("K", $12)
  text = text long_name("L", name)
  if (making) return text header(5, "700", 0, 0, 0, 0, 0, 0)
  if ($7 > 0 || s != $6) text = text nanoseconds($6, $7 + 0)
  split($11 == "" ? "0/0" : $11, number_of, "/")
  return text header(kind[$2], $3, $4, $5, size, s, number_of[1], number_of[2])
}
function flush() { if (args != "") print "cat" args; args = ""; headers = 0 }
function take(file) { args = args " " file; if (length(args) > 30000) flush() }
function take_zeros(count,   size) {
  for (; count >= 1048576; count -= 1048576) take("z/1048576")
  for (size = 524288; size >= 1; size /= 2) if (count >= size) { take("z/" size); count -= size }
}
function lost(why) { print "the file " shown ": not restored, " why > "damage.new" }
function file(name,   count, i, sum, slice, plus, end) {
  count = split($13, ref, " ")
  sum = 0
  for (i = 1; i <= count; i++) {
    from[i] = 0
    object[i] = ref[i]
    end = index(ref[i], "[")
    slice = end ? substr(ref[i], end + 1, length(ref[i]) - end - 1) : ""
    if (ref[i] ~ /^zero/) { object[i] = ""; piece[i] = slice + 0; sum += slice; continue }
    sub(/[(\[].*/, "", object[i])
    if (!(object[i] in size)) return lost("its object " object[i] " is lost")
    piece[i] = size[object[i]]
    if (slice != "") {
      sub(/^=/, "", slice)
      plus = index(slice, "+")
      if (plus > 0) from[i] = substr(slice, 1, plus - 1) + 0
      piece[i] = substr(slice, plus + 1) + 0
    }
    if (from[i] + piece[i] > size[object[i]]) return lost("its object " object[i] " is too short")
    sum += piece[i]
  }
  if (sum != $8) return lost("its objects are not as long as it was")
  headers++
  print "printf \"" member(name, sum) "\" >h/" headers
  take("h/" headers)
  for (i = 1; i <= count; i++) {
    if (object[i] == "") take_zeros(piece[i])
    else if (piece[i] == size[object[i]]) take(place(object[i]))
    else {
      flush()
      print "tail -c +" (from[i] + 1) " " place(object[i]) " | head -c " piece[i]
    }
  }
  take_zeros((512 - sum % 512) % 512)
  if ($9 == "") return
  i = index($9, "=")
  # Names that lists of checksums cannot hold are checked one by one.
  if (name ~ /\\|%0[ad]/) print substr($9, i + 1), substr($9, 1, i - 1), shell_text(name) > "check.odd"
  else print substr($9, i + 1) "  ./" raw(name) > ("check." substr($9, 1, i - 1))
}
function place(object) { return (index(object, segment "/") == 1 ? "now/" : "keep/") object }
phase == 1 { split($0, part, " "); size[part[1]] = part[2]; next }
{
  name = $1
  gsub(/!/, "/", name)
  shown = name
  if (name == ".") name = "./"
  if ($2 == "f") file(name)
  else print "printf \"" member(name, 0) "\""
}
END {
  take_zeros(1024)
  flush()
}'

# make LIST [AWK OPTIONS]: makes the entries of a list.
make() {
  jobs=$1
  shift
  : >errors
  awk "$@" "$archive" phase=1 sizes keep.sizes phase=2 "$jobs" 2>>errors | sh 2>>errors |
    tar -x -p -f - -C "$target" 2>>errors
  if grep -q -e 'No space left' -e 'I/O error' errors; then no_room; fi
  grep -v -e 'time stamp' -e 'Exiting with failure' -e 'exit delayed' errors >errors.new &&
    while IFS= read -r line; do left_out "$line"; done <errors.new
  tell
}

# make_all LIST [AWK OPTIONS]: the same, so many at a time that tar does not grow.
make_all() {
  [ -s "$1" ] || return 0
  rm -f part.*
  awk -v lines="$lines_at_once" "$parts" name=part "$1" || no_room
  shift
  for part in part.*; do make "$part" "$@"; done
  rm -f part.*
}

# Reads back what was made; a file that is not as it was saved is removed and told.
wrong() {
  if [ -f "$target/$1" ] && [ ! -r "$target/$1" ]; then
    left_out "the check of $(escaped "$1"): its mode lets you not read it"
  elif [ -f "$target/$1" ]; then
    rm -f -- "$target/$1"
    damage "the file $(escaped "$1"): its content is not as it was saved; removed"
  else
    damage "the file $(escaped "$1"): it could not be made"
  fi
}
check() {
  for algorithm in sha256 sha1 sha224; do
    [ -s check.$algorithm ] || continue
    (cd "$target" && ${algorithm}sum -c "$scratch/check.$algorithm") >checked 2>/dev/null
    grep -v ': OK$' checked | sed -e 's/: FAILED open or read$//' -e 's/: FAILED$//' >bad
    while IFS= read -r file; do wrong "${file#./}"; done <bad
    [ "$(wc -l <checked)" -eq "$(wc -l <check.$algorithm)" ] ||
      left_out "the check of some files with ${algorithm}sum"
    good=$((good + $(grep -c ': OK$' checked)))
    rm -f check.$algorithm
  done
  [ -s check.odd ] || return 0
  while read -r recorded algorithm format; do
    # shellcheck disable=SC2059 # the name is escaped as a format
    file=$(printf "$format"; echo x)
    file=${file%x}
    found=$(${algorithm}sum <"$target/$file" 2>/dev/null)
    if [ "${found%% *}" = "$recorded" ]; then good=$((good + 1)); else wrong "$file"; fi
  done <check.odd
  rm -f check.odd
}

# turn ORDER SEGMENT: all that is complete when this segment is unpacked.
turn() {
  if [ -n "$2" ]; then
    unpack "$2" now
    ls -ln "now/$2" | awk -v segment="$2" '/^-/ { print segment "/" $NF, $5 }' >sizes || no_room
  fi
  if [ -f "jobs/$1" ]; then
    make "jobs/$1" -v segment="$2"
    check
  fi
  if [ -f "drop/$1" ]; then
    (cd keep && xargs rm -f) <"drop/$1"
    awk 'NR == FNR { gone[$1]; next } !($1 in gone)' "drop/$1" keep.sizes >left.sizes || no_room
    mv left.sizes keep.sizes
  fi
  if [ -f "hold/$1" ]; then
    mkdir -p "keep/$2"
    awk 'NR == FNR { kept[$1]; next } $1 in kept' "hold/$1" sizes >>keep.sizes || no_room
    # An object that is missing is told with the files that need it.
    (cd now && xargs sh -c 'mv -- "$@" "../keep/$0/"' "$2") <"hold/$1" 2>/dev/null
  fi
  [ -z "$2" ] || rm -rf "now/$2"
  : >sizes
}

# --- the run ------------------------------------------------------------------------------------

read_descriptor
read_sums
plan
while read -r number segment <&3; do
  locate "$segment"
  [ -z "$file" ] || check_programs "${base#*.tar}"
done 3<segments
good=0
files=$(wc -l <files.sorted)
say "Restoring snapshot $name: $((files)) files, $(($(wc -l <dirs))) directories, $(($(wc -l <others) + $(wc -l <links))) others"
make_all dirs -v making=1
turn 00000000 ''
while read -r number segment <&3; do turn "$number" "$segment"; done 3<segments
make_all others
make_all links
# Their times and modes come last, the inner ones first, since what is in them changes them.
awk '{ printf "%09d\t%s\n", 999999999 - NR, $0 }' dirs >list || no_room
sorted list >dirs
sed "s/^[^$tab]*$tab//" dirs >dirs.last || no_room
make_all dirs.last

[ "$(id -u)" -eq 0 ] || say 'note: owners are those of who restores: only root can give files away'
say "Restored into $target: the content of $good files was read back and is as it was saved"
code=0
if [ -s left ]; then code=3; say "Left out: $(($(wc -l <left))), named above"; fi
if [ -s damage ]; then code=4; say "Damage: $(($(wc -l <damage))), named above"; fi
exit $code
