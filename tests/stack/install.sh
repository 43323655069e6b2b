#!/bin/sh
# Install a Debian package if we may; else say in one sentence what is missing.
#   install.sh WHAT PACKAGE
set -eu
what=$1
package=$2
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing $package"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq "$package" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq "$package" >/dev/null; } ||
    { echo "$what is needed, and apt-get could not install $package." >&2; exit 1; }
else
  echo "$what is needed. Install it as root, for example: apt-get install $package" >&2
  exit 1
fi
