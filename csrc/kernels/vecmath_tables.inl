// Constants of the vector maths, printed by `python -m benchmarks.vecmath_fit` (methods are described there).
// Included once inside each target's namespace (see vecmath.inl).

template <>
struct Constants<double> {
    // (exp(r) - 1 - r) / r^2, |r| <= ln(2)/2; relative error 2^-54.9
    static constexpr double kExp[] = {
        0x1.0000000000006p-1,
        0x1.5555555555560p-3,
        0x1.5555555551aafp-5,
        0x1.111111110b6acp-7,
        0x1.6c16c180e0b60p-10,
        0x1.a01a01d361f82p-13,
        0x1.a019a16493315p-16,
        0x1.71dd8840cbb3dp-19,
        0x1.28a7dfad2df21p-22,
        0x1.b0451a7cb9dc7p-26};
    // (2 atanh(s) - 2s) / s^3, z = s^2, |s| <= 0.1716; relative error 2^-59.25
    static constexpr double kLog[] = {
        0x1.5555555555592p-1,
        0x1.999999997fea4p-2,
        0x1.24924941e567ap-2,
        0x1.c71c5212139b7p-3,
        0x1.74663d439b396p-3,
        0x1.39a1e1db529adp-3,
        0x1.2f03f6e4cfe5fp-3};
    // (atanh(s)/s - 1 - z/3) / z^2, z = s^2, |s| <= 0.1716; relative error 2^-66.64
    static constexpr double kLogTail[] = {
        0x1.999999999999ap-3,
        0x1.249249249246fp-3,
        0x1.c71c71c722760p-4,
        0x1.745d17417f9c6p-4,
        0x1.3b13b3118890fp-4,
        0x1.111094565a753p-4,
        0x1.e20b8006af551p-5,
        0x1.aaebe025739dcp-5,
        0x1.c31c620dde79fp-5};
    // (sin(r)/r - 1) / z, z = r^2, |r| <= pi/2; relative error 2^-54.56
    static constexpr double kSin[] = {
        -0x1.5555555555555p-3,
        0x1.1111111111111p-7,
        -0x1.a01a01a019fdbp-13,
        0x1.71de3a5569d0bp-19,
        -0x1.ae64567d5316ep-26,
        0x1.6124604e08500p-33,
        -0x1.ae7eb7d6dbfd7p-41,
        0x1.94fe2d8341a39p-49,
        -0x1.2675d6ac82e3bp-57};
    // (sin(r)/r - 1) / z, z = r^2, |r| <= pi/4; relative error 2^-57.14
    static constexpr double kSin4[] = {
        -0x1.5555555555555p-3,
        0x1.111111111110bp-7,
        -0x1.a01a01a018a68p-13,
        0x1.71de3a53301c9p-19,
        -0x1.ae64528cecae8p-26,
        0x1.61208beb8b1fep-33,
        -0x1.aaa219d8d5548p-41};
    // (1 - cos(r)) / z, z = r^2, |r| <= pi/4; relative error 2^-57.73
    static constexpr double kCos4[] = {
        0x1.0000000000000p-1,
        -0x1.5555555555539p-5,
        0x1.6c16c16c13ba2p-10,
        -0x1.a01a019b2d24ap-16,
        0x1.27e4f72b338ecp-22,
        -0x1.1ee96c9d660dep-29,
        0x1.8f752f5b846bfp-37};
    // (asin(s)/s - 1) / z, z = s^2, |s| <= 1/2; relative error 2^-55.61
    static constexpr double kAsin[] = {
        0x1.5555555555390p-3,
        0x1.333333336e7d9p-4,
        0x1.6db6db427a2b9p-5,
        0x1.f1c72c39477f3p-6,
        0x1.6e89f436f9a46p-6,
        0x1.1c6be2386f270p-6,
        0x1.c6fdb64a2980cp-7,
        0x1.8ec347795c1e6p-7,
        0x1.abccd19b56d7bp-8,
        0x1.3ff66d71b0828p-6,
        -0x1.09d5fccd9e301p-6,
        0x1.056e6bc1bd311p-5};
    // (atan(t)/t - 1) / z, z = t^2, |t| <= sqrt(2) - 1; relative error 2^-57.39
    static constexpr double kAtan[] = {
        -0x1.555555555553dp-2,
        0x1.99999999957bfp-3,
        -0x1.24924922a9f09p-3,
        0x1.c71c70e4e875bp-4,
        -0x1.745cf8bf12b39p-4,
        0x1.3b111744d9cb1p-4,
        -0x1.10eba51c78869p-4,
        0x1.df0e492ea4b5dp-5,
        -0x1.9cce8035255bep-5,
        0x1.37cb87430a585p-5,
        -0x1.2555697a5c490p-6};
    // pi, in parts whose products with a multiple of 1/2 below 2^22 are exact.
    static constexpr double kPi[] = {
        0x1.921fb54000000p+1,
        0x1.10b4611800000p-29,
        0x1.313198a000000p-60,
        0x1.701b839a25205p-91};
    // pi in full digits, for targets with fused multiply-add.
    static constexpr double kPiWhole[] = {
        0x1.921fb54442d18p+1,
        0x1.1a62633145c07p-53,
        -0x1.f1976b7ed8fbcp-109};
    // ln(2): the first part times an exponent is exact.
    static constexpr double kLn2[] = {
        0x1.62e42fefa2000p-1,
        0x1.9ef35793c7673p-41};
    // pi and pi/2: nearest, and what is missing.
    static constexpr double kPiHead[] = {
        0x1.921fb54442d18p+1,
        0x1.1a62633145c07p-53};
    static constexpr double kHalfPiHead[] = {
        0x1.921fb54442d18p+0,
        0x1.1a62633145c07p-54};
    static constexpr double kInvPi = 0x1.45f306dc9c883p-2;
    static constexpr double kLog2e = 0x1.71547652b82fep+0;
    static constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
    // 1/3: nearest, and what is missing.
    static constexpr double kThird[] = {
        0x1.5555555555555p-2,
        0x1.5555555555555p-56};
};

template <>
struct Constants<float> {
    // (exp(r) - 1 - r) / r^2, |r| <= ln(2)/2; relative error 2^-28.36
    static constexpr float kExp[] = {
        0x1.0000000000000p-1f,
        0x1.5555560000000p-3f,
        0x1.55549e0000000p-5f,
        0x1.11101c0000000p-7f,
        0x1.6d83560000000p-10f,
        0x1.a2a5b60000000p-13f};
    // (log(1 + f) - f + f^2/2) / f^3, sqrt(1/2) <= 1 + f <= sqrt(2); relative error 2^-27.14
    static constexpr float kLogDirect[] = {
        0x1.5555540000000p-2f,
        -0x1.0002280000000p-2f,
        0x1.99a0160000000p-3f,
        -0x1.5472260000000p-3f,
        0x1.22d90e0000000p-3f,
        -0x1.0d85840000000p-3f,
        0x1.05625e0000000p-3f,
        -0x1.38c4480000000p-4f};
    // (sin(r)/r - 1) / z, z = r^2, |r| <= pi/2; relative error 2^-25.42
    static constexpr float kSin[] = {
        -0x1.5555560000000p-3f,
        0x1.11110c0000000p-7f,
        -0x1.a017da0000000p-13f,
        0x1.7170780000000p-19f,
        -0x1.9a67ce0000000p-26f};
    // (sin(r)/r - 1) / z, z = r^2, |r| <= pi/4; relative error 2^-28.03
    static constexpr float kSin4[] = {
        -0x1.5555560000000p-3f,
        0x1.1111080000000p-7f,
        -0x1.a00f7e0000000p-13f,
        0x1.6cd1d60000000p-19f};
    // (1 - cos(r)) / z, z = r^2, |r| <= pi/4; relative error 2^-28.29
    static constexpr float kCos4[] = {
        0x1.0000000000000p-1f,
        -0x1.55553c0000000p-5f,
        0x1.6c07f00000000p-10f,
        -0x1.9916760000000p-16f};
    // (asin(s)/s - 1) / z, z = s^2, |s| <= 1/2; relative error 2^-27.35
    static constexpr float kAsin[] = {
        0x1.5555c80000000p-3f,
        0x1.3301e40000000p-4f,
        0x1.747e4a0000000p-5f,
        0x1.8c28340000000p-6f,
        0x1.596d340000000p-5f};
    // (atan(t)/t - 1) / z, z = t^2, |t| <= sqrt(2) - 1; relative error 2^-28.4
    static constexpr float kAtan[] = {
        -0x1.55554a0000000p-2f,
        0x1.9991960000000p-3f,
        -0x1.23b5140000000p-3f,
        0x1.b1eb460000000p-4f,
        -0x1.f1e8b60000000p-5f};
    static constexpr double kLn2Double = 0x1.62e42fefa39efp-1;
    // as kLog, in doubles; relative error 2^-44.94
    static constexpr double kLogShort[] = {
        0x1.555555561d828p-1,
        0x1.999996ab05495p-2,
        0x1.24941145d68cdp-2,
        0x1.c62b483c0f1c2p-3,
        0x1.9112ce0bc18e6p-3};
    // as kExp, in doubles; relative error 2^-28.28
    static constexpr double kExpShort[] = {
        0x1.fffffb9ed48d6p-2,
        0x1.55549161bfbf0p-3,
        0x1.5558ee6807a58p-5,
        0x1.1239d854028c0p-7,
        0x1.6a262309d1550p-10};
    // pi, in parts whose products with a multiple of 1/2 below 2^12 are exact.
    static constexpr float kPi[] = {
        0x1.9200000000000p+1f,
        0x1.fb40000000000p-11f,
        0x1.4440000000000p-23f,
        0x1.68c0000000000p-38f,
        0x1.1a62640000000p-53f};
    // pi in full digits, for targets with fused multiply-add.
    static constexpr float kPiWhole[] = {
        0x1.921fb60000000p+1f,
        -0x1.777a5c0000000p-24f,
        -0x1.ee59da0000000p-49f};
    // ln(2): the first part times an exponent is exact.
    static constexpr float kLn2[] = {
        0x1.62e0000000000p-1f,
        0x1.0bfbe80000000p-15f};
    // pi and pi/2: nearest, and what is missing.
    static constexpr float kPiHead[] = {
        0x1.921fb60000000p+1f,
        -0x1.777a5c0000000p-24f};
    static constexpr float kHalfPiHead[] = {
        0x1.921fb60000000p+0f,
        -0x1.777a5c0000000p-25f};
    static constexpr float kInvPi = 0x1.45f3060000000p-2f;
    static constexpr float kLog2e = 0x1.7154760000000p+0f;
    static constexpr float kSqrtHalf = 0x1.6a09e60000000p-1f;
};

// 2^E / pi modulo 2 in four doubles, E = -32, -16, ..., 960 (M. Payne, R. Hanek, SIGNUM Newsletter 18, 1983).
static constexpr double kTurns[63][4] = {
    {0x1.45f306dc9c883p-34, -0x1.6b01ec5417056p-88, -0x1.6447e493ad4cep-142, 0x1.e21c820ff28b2p-196},
    {0x1.45f306dc9c883p-18, -0x1.6b01ec5417056p-72, -0x1.6447e493ad4cep-126, 0x1.e21c820ff28b2p-180},
    {0x1.45f306dc9c883p-2, -0x1.6b01ec5417056p-56, -0x1.6447e493ad4cep-110, 0x1.e21c820ff28b2p-164},
    {0x1.836e4e44152a0p-1, -0x1.ec54170565912p-56, 0x1.b6c52b3278872p-114, 0x1.07f9458eaf7afp-171},
    {-0x1.b1bbead603d8bp-1, 0x1.f47d4d377036ep-55, -0x1.d6a66c3bc6fbep-109, -0x1.ae9c5421443aap-169},
    {0x1.529fc2757d1f5p-5, 0x1.a6ee06db14acdp-60, -0x1.8778df7c035d4p-114, 0x1.d5ef5de2b0db9p-168},
    {0x1.fc2757d1f534ep-1, -0x1.1f924eb53361ep-56, 0x1.c820ff28b1d5fp-112, -0x1.443a9e48db91cp-169},
    {-0x1.505c1596447e5p-2, 0x1.b14acc9e21c82p-56, 0x1.fe5163abdebbcp-113, 0x1.586dc91b8e909p-167},
    {0x1.f534ddc0db629p-1, 0x1.664f10e4107f9p-55, 0x1.163abdebbc562p-109, -0x1.236e4716f6c8bp-163},
    {0x1.bb81b6c52b328p-2, -0x1.de37df00d74e3p-56, 0x1.7bd778ac36e49p-110, -0x1.1c5bdb22d1ffap-165},
    {0x1.b6c52b3278872p-2, 0x1.07f9458eaf7afp-59, -0x1.d4f246dc8e2dfp-116, 0x1.374b801924bbbp-171},
    {-0x1.6a66c3bc6fbe0p-1, -0x1.ae9c5421443aap-57, 0x1.b7246e3a424ddp-113, 0x1.700324977504fp-168},
    {0x1.3c439041fe516p-1, 0x1.d5ef5de2b0db9p-56, 0x1.1b8e909374b80p-111, 0x1.924bba8274648p-167},
    {-0x1.bef806ba71508p-3, -0x1.443a9e48db91cp-57, -0x1.6f6c8b47fe6dbp-111, -0x1.115f62e6de302p-165},
    {0x1.fe5163abdebbcp-1, 0x1.586dc91b8e909p-55, 0x1.ba5c00c925dd4p-110, 0x1.3a32439fc3bd6p-166},
    {0x1.63abdebbc561bp-1, 0x1.c91b8e909374cp-55, -0x1.ff9b6d115f62ep-109, -0x1.b78c0788538d4p-163},
    {-0x1.0a21d4f246dc9p-4, 0x1.d2126e9700325p-60, -0x1.a22bec5cdbc60p-114, -0x1.e214e34ed658cp-169},
    {-0x1.d4f246dc8e2dfp-4, 0x1.374b801924bbbp-59, -0x1.f62e6de301e21p-113, -0x1.38d3b5963045ep-167},
    {0x1.b7246e3a424ddp-1, 0x1.700324977504fp-56, -0x1.cdbc603c429c7p-110, 0x1.894d39f74411bp-164},
    {0x1.b8e909374b802p-3, -0x1.b6d115f62e6dep-57, -0x1.80f10a71a76b3p-112, 0x1.cfba208d7d4bbp-167},
    {-0x1.bdb22d1ff9b6dp-1, -0x1.15f62e6de301ep-57, -0x1.0a71a76b2c609p-112, 0x1.1046bea5d7689p-166},
    {0x1.d2e006492eea1p-1, -0x1.8b9b78c078854p-55, 0x1.cb129a73ee882p-109, 0x1.afa975da24275p-164},
    {0x1.924bba8274648p-7, 0x1.cfe1deb1cb12ap-61, -0x1.63045df7282b4p-115, -0x1.44bb7b16638fep-169},
    {0x1.2eea09d1921d0p-1, -0x1.e214e34ed658cp-57, -0x1.177dca0ad144cp-113, 0x1.213a671c09ad1p-167},
    {-0x1.f62e6de301e21p-1, -0x1.38d3b5963045ep-55, 0x1.1afa975da2427p-112, 0x1.338e04d68befdp-166},
    {0x1.921cfe1deb1cbp-1, 0x1.29a73ee88235fp-57, 0x1.4baed1213a672p-111, -0x1.fb29741037d8dp-166},
    {0x1.fc3bd63962535p-2, -0x1.822efb9415a29p-58, 0x1.a24274ce38136p-112, -0x1.741037d8cdc54p-166},
    {0x1.eb1cb129a73efp-1, -0x1.df7282b4512eep-55, 0x1.3a671c09ad17ep-111, -0x1.bec66e29c67cbp-169},
    {0x1.62534e7dd1047p-2, -0x1.0568a25dbd8b3p-56, -0x1.c7eca5d040df6p-112, -0x1.9b8a719f2b318p-167},
    {0x1.a73ee88235f53p-1, -0x1.44bb7b16638fep-57, 0x1.ad17df904e647p-111, 0x1.639835339f49dp-165},
    {-0x1.177dca0ad144cp-1, 0x1.213a671c09ad1p-55, 0x1.f7e413991d63ap-109, -0x1.f2b3182d8dee8p-163},
    {-0x1.ca0ad144bb7b1p-1, -0x1.98e3f652e8207p-55, 0x1.3991d63983534p-113, -0x1.82d8dee81d108p-167},
    {0x1.2ebb4484e99c7p-1, 0x1.35a2fbf209cc9p-60, -0x1.4e33e566305b2p-116, 0x1.08bf177bf2507p-170},
    {-0x1.76f62cc71fb29p-2, -0x1.d040df633714ep-56, -0x1.9f2b3182d8defp-111, 0x1.f8bbdf9283b20p-165},
    {0x1.d338e04d68bf0p-2, -0x1.bec66e29c67cbp-57, 0x1.9cfa4e422fc5ep-112, -0x1.036be27003b40p-168},
    {0x1.c09ad17df904ep-3, 0x1.91d639835339fp-57, 0x1.272117e2ef7e5p-111, -0x1.7c4e007680022p-165},
    {-0x1.4ba081bec66e3p-1, 0x1.8e60d4ce7d272p-55, 0x1.17e2ef7e4a0ecp-111, 0x1.ff897ffde0598p-165},
    {-0x1.037d8cdc538d0p-2, 0x1.a99cfa4e422fcp-56, 0x1.77bf250763ff1p-110, 0x1.7ffde05980fefp-165},
    {0x1.3991d63983534p-1, -0x1.82d8dee81d108p-55, -0x1.b5f13801da001p-111, 0x1.e05980fef2f12p-165},
    {0x1.d639835339f4ap-1, -0x1.bdd03a21036bep-56, -0x1.3801da00087eap-111, 0x1.80fef2f118b5ap-165},
    {0x1.835339f49c846p-1, -0x1.d1081b5f13802p-59, 0x1.2fffbc0b301fep-114, -0x1.a1dce94beb25cp-170},
    {-0x1.8c16c6f740e88p-2, -0x1.036be27003b40p-56, -0x1.0fd33f8086877p-116, -0x1.d297d64b824b2p-171},
    {0x1.3908bf177bf25p-2, 0x1.d8ffc4bffef03p-60, -0x1.9fc04343b9d29p-115, -0x1.f592e092c9813p-169},
    {0x1.7e2ef7e4a0ec8p-3, -0x1.da00087e99fc0p-63, -0x1.0d0ee74a5f593p-117, 0x1.f6d367ecf27cbp-173},
    {-0x1.081b5f13801dap-3, -0x1.0fd33f8086877p-68, -0x1.d297d64b824b2p-123, -0x1.8130d834f648bp-177},
    {0x1.283b1ff897ffep-1, -0x1.fa67f010d0ee7p-57, -0x1.297d64b824b26p-111, -0x1.30d834f648b0cp-169},
    {-0x1.c00ed00043f4dp-2, 0x1.fde5e2316b415p-62, -0x1.2e092c98130d8p-117, -0x1.a7b24585ce04dp-172},
    {0x1.2fffbc0b301fep-2, -0x1.a1dce94beb25cp-58, -0x1.25930261b069fp-114, 0x1.b74f463f669e6p-169},
    {-0x1.0fd33f8086877p-4, -0x1.d297d64b824b2p-59, -0x1.8130d834f648bp-113, -0x1.738132c3402bap-170},
    {0x1.980fef2f118b6p-1, -0x1.7d64b824b2605p-55, 0x1.e4f96136e9e8cp-110, 0x1.fb34f2ff516bbp-164},
    {-0x1.0d0ee74a5f593p-5, 0x1.f6d367ecf27cbp-61, 0x1.36e9e8c7ecd3dp-118, -0x1.00ae9456c229cp-172},
    {-0x1.dce94beb25c12p-2, -0x1.64c0986c1a7b2p-56, -0x1.161738132c340p-110, -0x1.5d28ad8453814p-165},
    {-0x1.4beb25c125930p-2, -0x1.30d834f648b0cp-57, 0x1.8fd9a797fa8b6p-111, -0x1.5b08a7028341dp-166},
    {-0x1.92e092c98130ep-1, 0x1.f2c26dd3d18fep-55, -0x1.961a015d28ad8p-109, -0x1.14e050683a131p-163},
    {-0x1.25930261b069fp-2, 0x1.b74f463f669e6p-57, -0x1.5d28ad8453814p-117, -0x1.a0e84c2f8c608p-173},
    {-0x1.8130d834f648bp-1, -0x1.738132c3402bap-58, -0x1.456c229c0a0d0p-112, -0x1.d0985f18c10ebp-166},
    {-0x1.b069ec9161738p-2, -0x1.32c3402ba515bp-58, -0x1.14e050683a131p-115, 0x1.0739f78a5292fp-169},
    {-0x1.ec9161738132cp-2, -0x1.a015d28ad8454p-57, 0x1.faf97c5ecf41dp-111, -0x1.821d6b5b45650p-167},
    {-0x1.61738132c3403p-2, 0x1.16ba93dd63f5fp-56, 0x1.7c5ecf41ce7dep-111, 0x1.4a525d4d7f6bfp-166},
    {-0x1.c09961a015d29p-1, 0x1.49eeb1faf97c6p-55, -0x1.30be31821d6b6p-111, 0x1.2ea6bfb5fb120p-165},
    {-0x1.61a015d28ad84p-1, -0x1.4e050683a130cp-55, 0x1.ce7de294a4baap-111, -0x1.404a04ee072a3p-165},
    {-0x1.5d28ad8453814p-5, -0x1.a0e84c2f8c608p-61, -0x1.d6b5b45650128p-115, -0x1.3b81ca8bdea7fp-171},
    {0x1.7527bac7ebe5fp-1, 0x1.7b3d0739f78a5p-57, 0x1.497535fdafd89p-112, -0x1.ca8bdea7f33eep-171}};
