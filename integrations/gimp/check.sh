#!/usr/bin/env bash
# Builds the plug-in and runs it in GIMP's batch mode: check.sh PHOTO. Needs gimp, libgimp2.0-dev and mild ($MILD).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/plug-ins/mild-layers"
# shellcheck disable=SC2046
gcc -O2 -Wall -o "$home/plug-ins/mild-layers/mild-layers" "$here/mild-layers.c" $(gimptool-2.0 --cflags-noui) $(gimptool-2.0 --libs-noui)
echo "(plug-in-path \"$home/plug-ins:\${gimp_plug_in_dir}/plug-ins\")" > "$home/gimprc"
script="(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE \"$1\" \"$1\")))
  (drawable (car (gimp-image-get-active-drawable image)))
  (made (car (plug-in-mild-layers RUN-NONINTERACTIVE image drawable)))
  (layers (gimp-image-get-layers made)))
  (gimp-message (string-append \"size \" (number->string (car (gimp-image-width made))) \"x\"
    (number->string (car (gimp-image-height made))) \" layers \" (number->string (car layers))))
  (for-each (lambda (layer) (gimp-message (string-append \"layer \" (car (gimp-item-get-name layer)))))
    (vector->list (cadr layers))))"
GIMP2_DIRECTORY=$home gimp -i --gimprc "$home/gimprc" -b "$script" -b '(gimp-quit 0)' 2>&1
