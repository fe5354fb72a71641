"""What others published for x4, to stand beside a study's own figures; no number of this project depends on it."""

SOURCE = "EDSR and SRResNet: BasicSR's model zoo and torchSR's README; bicubic, SRCNN, FSRCNN, VDSR: as papers print them"
TABLE = [
    ["model", "protocol", "Set5", "Set14", "DIV2K valid"],
    ["bicubic", "benchmark_y", "28.42 / 0.8104", "26.00 / 0.7027", "-"],
    ["SRCNN", "benchmark_y", "30.48", "-", "-"],
    ["FSRCNN", "benchmark_y", "30.72", "-", "-"],
    ["VDSR", "benchmark_y", "31.35", "-", "-"],
    ["EDSR 16x64", "benchmark_y", "32.09 / 0.8936", "28.58 / 0.7804", "30.43 / 0.8370"],
    ["EDSR 32x256", "benchmark_y", "32.48 / 0.8985", "28.81 / 0.7872", "30.73 / 0.8445"],
    ["SRResNet without BatchNorm", "ntire_rgb", "30.25 / 0.8651", "26.78 / 0.7451", "29.00 / 0.8195"],
    ["EDSR 16x64", "ntire_rgb", "30.18 / 0.8641", "26.75 / 0.7432", "28.97 / 0.8183"],
    ["EDSR 32x256", "ntire_rgb", "30.55 / 0.8701", "27.00 / 0.7509", "29.28 / 0.8266"],
]
REMARK = (
    "PSNR in dB / SSIM, trained for hours or days. Compare a column only with the same test set scored by the same protocol: one "
    "model is 28.97 in RGB and 30.43 on Y. The study that this project implements cannot be compared digit by digit at all: its "
    "SRResNet losses are in [-1, 1] and EDSR's in [0, 1], a factor of 2 for L1; its gap of 8 dB in PSNR stands beside L1 losses "
    "that differ by some 10 % once they are in one unit; and it scored new random crops at each run, so that its report and its "
    "own files differ by up to 1 dB for one model. Here losses have one unit, crops are fixed, and each number names its protocol."
)
