#!/bin/sh
# Create build/peers, an environment with the project's packages and the libraries that benchmarks compare with; nothing is
# added to the project's own environment. Then: build/peers/bin/python -m benchmarks.speed.jpeg_decode -n 9
# spdl needs FFmpeg's libraries: apt-get install libavcodec59 libavformat59 libavfilter8 libavdevice59 (Debian 12).
set -eu
cd "$(dirname "$0")/../.."
own=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
[ -x build/peers/bin/python ] || .venv/bin/python -m venv build/peers
# Without their dependencies: numpy and Pillow are the project's, and none may install another torch.
build/peers/bin/python -m pip install -q --disable-pip-version-check --no-deps \
    jpeglib pyjpegio opencv-python-headless pyvips pyvips-binary cffi pycparser spdl spdl_core spdl_io \
    nvidia-dali-cuda120 nvidia-nvimgcodec-cu12 nvidia-libnvcomp-cu12 nvtx optree makefun gast astunparse six
peers=$(build/peers/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
echo "import site; site.addsitedir('$own')" > "$peers/project.pth"
echo "peers: build/peers/bin/python is ready"
