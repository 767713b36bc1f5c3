// SPDX-License-Identifier: Apache-2.0
//
// Weights are found where they are, in every format; hostile files are nothing but bytes.
#include "bundle/tensor/encode.h"
#include "tests/unit/bundle/pack/model/files.h"

#define COLUMNS 96
#define ROWS    400

static float weights[ROWS * COLUMNS], newer[ROWS * COLUMNS];
static uint8_t bias[34 * 64]; // pairs of bytes, and blocks of 34

static double noise(uint64_t *state) { // of deviation 1, about
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005U + 1442695040888963407U;
        sum += (double)(*state >> 11) / 9007199254740992.0;
    }
    return sum - 6;
}

static struct arrays arrays_of(const float *of) {
    uint64_t seed = 1;
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        weights[i] = (float)(0.05 * noise(&seed));
        newer[i] = (float)(weights[i] + 1e-4 * noise(&seed));
    }
    for (size_t i = 0; i < sizeof bias; i++)
        bias[i] = (uint8_t)(i * 89);
    return (struct arrays){{(const uint8_t *)of, sizeof weights}, {bias, sizeof bias}, COLUMNS};
}

static const struct {
    const char *name;
    void (*make)(const struct arrays *a, struct buf *ret);
    enum tensor_type bias_type;
    uint64_t bias_columns;
} formats[] = {
    {"safetensors", files_safetensors, TENSOR_bf16, sizeof bias / 2},
    {"gguf", files_gguf, TENSOR_u8, 34},
    {"onnx", files_onnx, TENSOR_bf16, sizeof bias / 2},
    {"tflite", files_tflite, TENSOR_bf16, sizeof bias / 2},
};
#define FORMATS (sizeof formats / sizeof *formats)

Test(model, arrays_are_found_in_every_format) {
    const struct arrays a = arrays_of(weights);
    for (size_t f = 0; f < FORMATS; f++) {
        OWN(buf) struct buf file;
        struct found found;
        buf_init(&file, 1UL << 24);
        formats[f].make(&a, &file);
        files_find(buf_slice(&file), &found);
        cr_assert_eq(found.n, 2, "%s: %zu", formats[f].name, found.n);
        size_t w = found.regions[0].bytes == sizeof weights ? 0 : 1;
        const struct model_region *of_w = &found.regions[w], *of_b = &found.regions[1 - w];
        cr_assert_eq(of_w->bytes, sizeof weights);
        cr_expect_eq(memcmp(file.data + of_w->offset, weights, sizeof weights), 0);
        cr_expect_eq(of_w->shape.type, TENSOR_f32);
        cr_expect_eq(of_w->shape.columns, COLUMNS);
        cr_expect_str_eq(of_w->name, "w");
        cr_assert_eq(of_b->bytes, sizeof bias);
        cr_expect_eq(memcmp(file.data + of_b->offset, bias, sizeof bias), 0);
        cr_expect_eq(of_b->shape.type, formats[f].bias_type);
        cr_expect_eq(of_b->shape.columns, formats[f].bias_columns);
        cr_expect_str_eq(of_b->name, "b");
    }
}

// What a container costs: its arrays, coded against those of an older file of the same format.
static size_t delta_bytes(size_t format) {
    const struct arrays before = arrays_of(weights), after = arrays_of(newer);
    OWN(buf) struct buf old, new, coded;
    struct found found;
    struct err e = ERR_NONE;
    buf_init(&old, 1UL << 24);
    buf_init(&new, 1UL << 24);
    buf_init(&coded, 1UL << 24);
    formats[format].make(&before, &old);
    formats[format].make(&after, &new);
    files_find(buf_slice(&new), &found);
    for (size_t i = 0; i < found.n; i++) {
        const struct model_region *r = &found.regions[i];
        size_t taken, len = (size_t)r->bytes;
        cr_assert_eq(tensor_encode(&r->shape, (struct slice){old.data + r->offset, len}, r->offset,
                                   (struct slice){new.data + r->offset, len}, 1UL << 22, &coded,
                                   &taken, &e),
                     0);
        cr_assert_eq(taken, len);
    }
    return coded.len;
}

Test(model, the_same_weights_cost_the_same_in_any_file) {
    size_t one = delta_bytes(0);
    for (size_t f = 1; f < FORMATS; f++)
        cr_expect(delta_bytes(f) * 100 <= one * 101, "%s: %zu, %zu", formats[f].name,
                  delta_bytes(f), one);
}

static struct {
    const char *path;
    struct slice xml;
} beside;

static int find_beside(void *context, const char *path, struct slice *ret, struct err *e) {
    (void)e;
    cr_expect_eq(context, &beside);
    if (strcmp(path, beside.path) != 0)
        return 1;
    *ret = beside.xml;
    return 0;
}

static void find_openvino(const char *path, const char *xml, struct found *ret) {
    const struct model_siblings siblings = {find_beside, &beside};
    static uint8_t content[40000];
    struct err e = ERR_NONE;
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (uint8_t)(i * i >> 3);
    memset(ret, 0, sizeof *ret);
    beside.path = "ir/net.xml";
    beside.xml = (struct slice){(const uint8_t *)xml, strlen(xml)};
    cr_assert_eq(
        model_find((struct slice){content, sizeof content}, path, &siblings, found_add, ret, &e),
        0);
}

static const char openvino[] =
    "<?xml version=\"1.0\"?>\n<net name=\"n\" version=\"11\">\n<layers>"
    "<layer id=\"0\" name=\"x\" type=\"Parameter\"><data shape=\"1,3\" "
    "element_type=\"f32\"/></layer>"
    "<!-- <data element_type='f32' shape='1' offset='1' size='30000'/> -->"
    "<layer id=\"1\" name=\"w\" type=\"Const\">"
    "<data element_type=\"f16\" shape=\"10, 3, 64\" offset=\"4096\" size=\"3840\"/></layer>"
    "<layer id='2' name='b>' type='Const'>"
    "<data element_type='i8' offset = '0' size='1000' shape='1000'/></layer>"
    "<layer name='outside'><data element_type='f32' offset='39000' size='4000'/></layer>"
    "</layers></net>";

Test(model, an_openvino_bin_is_read_by_its_xml) {
    struct found found;
    find_openvino("ir/net.bin", openvino, &found);
    cr_assert_eq(found.n, 2);
    cr_expect(found.regions[0].offset == 0 && found.regions[0].bytes == 1000);
    cr_expect_eq(found.regions[0].shape.type, TENSOR_i8);
    cr_expect_eq(found.regions[0].shape.columns, 1000);
    cr_expect_str_eq(found.regions[0].name, "b>");
    cr_expect(found.regions[1].offset == 4096 && found.regions[1].bytes == 3840);
    cr_expect_eq(found.regions[1].shape.type, TENSOR_f16);
    cr_expect_eq(found.regions[1].shape.columns, 64);
    cr_expect_str_eq(found.regions[1].name, "w");
}

Test(model, an_xml_that_is_not_there_or_another_thing_is_no_model) {
    struct found found;
    find_openvino("ir/other.bin", openvino, &found);
    cr_expect_eq(found.n, 0);
    find_openvino("ir/net.dat", openvino, &found);
    cr_expect_eq(found.n, 0);
    find_openvino(".bin", openvino, &found);
    cr_expect_eq(found.n, 0);
    find_openvino("ir/net.bin", "<html></html>", &found);
    cr_expect_eq(found.n, 0);
}

// Guessing needs 64 KiB; these are the weights and nothing else.
Test(model, the_width_of_bare_numbers_is_measured) {
    const struct arrays a = arrays_of(weights);
    static uint16_t half[ROWS * COLUMNS];
    static double wide[ROWS * COLUMNS];
    struct found found;
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        uint32_t raw;
        memcpy(&raw, &weights[i], 4);
        half[i] = (uint16_t)(raw >> 16);
        wide[i] = (double)weights[i] * 1.0000001;
    }
    const struct {
        struct slice content;
        enum tensor_type type;
    } cases[] = {{a.weights, TENSOR_f32},
                 {{(const uint8_t *)half, sizeof half}, TENSOR_bf16},
                 {{(const uint8_t *)wide, sizeof wide}, TENSOR_f64}};
    for (size_t i = 0; i < 3; i++) {
        files_find(cases[i].content, &found);
        cr_assert_eq(found.n, 1, "case %zu", i);
        cr_expect_eq(found.regions[0].shape.type, cases[i].type, "case %zu", i);
        cr_expect(found.regions[0].offset == 0 && found.regions[0].bytes == cases[i].content.len);
    }
}

Test(model, text_and_noise_are_no_numbers) {
    static uint8_t content[1 << 17];
    uint64_t seed = 5;
    struct found found;
    for (size_t i = 0; i < sizeof content; i++) {
        (void)noise(&seed);
        content[i] = (uint8_t)("etaoin shrdlu "[(seed >> 40) % 14]);
    }
    files_find((struct slice){content, sizeof content}, &found);
    cr_expect_eq(found.n, 0);
    for (size_t i = 0; i < sizeof content; i++) {
        (void)noise(&seed);
        content[i] = (uint8_t)(seed >> 56);
    }
    files_find((struct slice){content, sizeof content}, &found);
    cr_expect_eq(found.n, 0);
    files_find((struct slice){NULL, 0}, &found);
    cr_expect_eq(found.n, 0);
}

// Regions lie inside, ascend and do not overlap, whatever happened to the file.
struct order {
    struct slice content;
    uint64_t end;
    size_t n;
};

static int check_order(void *context, const struct model_region *r, struct err *e) {
    struct order *o = context;
    (void)e;
    cr_assert(r->offset >= o->end && r->bytes >= MODEL_FIND_REGION_MIN_BYTES);
    cr_assert(r->bytes <= o->content.len && r->offset <= o->content.len - r->bytes);
    cr_assert_eq(r->bytes % tensor_shape_bytes(r->shape.type), 0);
    cr_assert_lt(strlen(r->name), MODEL_FIND_NAME_BYTES);
    o->end = r->offset + r->bytes;
    o->n++;
    return 0;
}

static void check(struct slice content) {
    struct err e = ERR_NONE;
    struct order o = {.content = content};
    OWN(mem) uint8_t *exact = malloc(content.len ? content.len : 1); // so that a byte too far shows
    memcpy(exact, content.data, content.len);
    o.content.data = exact;
    cr_assert_eq(model_find(o.content, "x", NULL, check_order, &o, &e), 0, "%s", e.text);
}

Test(model, files_that_are_cut_or_changed_anywhere_do_no_harm) {
    struct arrays a = arrays_of(weights);
    a.weights.len = (size_t)COLUMNS * 4 * 4;
    a.bias.len = 34 * 16;
    for (size_t f = 0; f < FORMATS; f++) {
        OWN(buf) struct buf file;
        buf_init(&file, 1UL << 20);
        formats[f].make(&a, &file);
        for (size_t len = 0; len < file.len; len += len < 700 ? 1 : 97)
            check((struct slice){file.data, len});
        for (size_t at = 0; at < file.len; at += at < 700 ? 1 : 89) {
            static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
            uint8_t was = file.data[at];
            for (size_t v = 0; v < sizeof values; v++) {
                file.data[at] = values[v];
                check(buf_slice(&file));
            }
            file.data[at] = was;
        }
    }
}

static int stop(void *context, const struct model_region *r, struct err *e) {
    (void)r;
    ++*(int *)context;
    return err_set(e, &err_no_space, "enough");
}

Test(model, who_asks_can_stop) {
    const struct arrays a = arrays_of(weights);
    OWN(buf) struct buf file;
    struct err e = ERR_NONE;
    int calls = 0;
    buf_init(&file, 1UL << 24);
    files_safetensors(&a, &file);
    cr_expect_lt(model_find(buf_slice(&file), "x", NULL, stop, &calls, &e), 0);
    cr_expect(err_is(&e, &err_no_space));
    cr_expect_eq(calls, 1);
}

// Arrays that share bytes, that are too small, too many, or not inside.
static size_t regions_of(const char *header, size_t data) {
    OWN(buf) struct buf file;
    struct err e = ERR_NONE;
    struct order o = {0};
    uint8_t *zeros;
    buf_init(&file, 64UL << 20);
    files_number(&file, strlen(header), 8);
    files_add(&file, header, strlen(header));
    cr_assert_eq(buf_reserve(&file, data, &zeros, &e), 0);
    memset(zeros, 0, data);
    buf_commit(&file, data);
    o.content = buf_slice(&file);
    cr_assert_eq(model_find(o.content, "x", NULL, check_order, &o, &e), 0);
    return o.n;
}

Test(model, ceilings_and_least_sizes_hold) {
    cr_expect_eq(
        regions_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[255],\"data_offsets\":[0,255]}}", 255), 0);
    cr_expect_eq(
        regions_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[256],\"data_offsets\":[0,256]}}", 256), 1);
    cr_expect_eq(
        regions_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[257],\"data_offsets\":[0,257]}}", 256), 0);
    cr_expect_eq(regions_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[300],\"data_offsets\":[0,300]},"
                            "\"b\":{\"dtype\":\"U8\",\"shape\":[300],\"data_offsets\":[299,599]}}",
                            600),
                 1);
    for (size_t extra = 0; extra < 2; extra++) {
        size_t n = MODEL_FIND_REGIONS_MAX + extra;
        OWN(buf) struct buf header;
        struct err e = ERR_NONE;
        buf_init(&header, 16UL << 20);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(buf_add_format(&header, &e,
                                        "%c\"%zu\":{\"dtype\":\"U8\",\"shape\":[256],"
                                        "\"data_offsets\":[%zu,%zu]}",
                                        i ? ',' : '{', i, i * 256, i * 256 + 256),
                         0);
        cr_assert_eq(buf_add_text(&header, "}", &e), 0);
        cr_expect_eq(regions_of(buf_text(&header), n * 256), MODEL_FIND_REGIONS_MAX);
    }
}
