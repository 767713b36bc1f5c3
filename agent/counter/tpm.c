// SPDX-License-Identifier: Apache-2.0
//
// The counter over tpm2-tss: its ESAPI, and its loader for the way to the TPM.
#include "agent/counter/tpm.h"

#include <string.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#define NONE         ESYS_TR_NONE
#define VALUE_BYTES  8
#define HANDLE_FAULT (TPM2_RC_HANDLE | TPM2_RC_1) // no such index

struct session {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR index; // NONE: it does not exist
};

static int tpm_says(const char *doing, TSS2_RC rc, struct err *e) {
    return err_set(e, &err_io, "TPM: %s: %s", doing, Tss2_RC_Decode(rc));
}

static void own_drop_session(struct session *s) {
    if (s->index != NONE)
        (void)Esys_TR_Close(s->esys, &s->index);
    Esys_Finalize(&s->esys);
    Tss2_TctiLdr_Finalize(&s->tcti);
}

// An index that somebody uses for something else is left alone.
static int check_kind(struct session *s, struct err *e) {
    TPM2B_NV_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_NV_ReadPublic(s->esys, s->index, NONE, NONE, NONE, &public, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_says("looking at the counter's index", rc, e);
    TPMA_NV attributes = public->nvPublic.attributes;
    Esys_Free(public);
    if ((attributes & TPMA_NV_TPM2_NT_MASK) >> TPMA_NV_TPM2_NT_SHIFT != TPM2_NT_COUNTER)
        return err_set(e, &err_exists,
                       "TPM: the index is in use for something else than a counter; configure "
                       "another one");
    return 0;
}

static int open_session(const char *tcti, uint32_t index, struct session *s, struct err *e) {
    TSS2_RC rc = Tss2_TctiLdr_Initialize(tcti, &s->tcti);
    if (rc != TSS2_RC_SUCCESS)
        return err_set(e, &err_io, "reaching the TPM by %s: %s", tcti, Tss2_RC_Decode(rc));
    rc = Esys_Initialize(&s->esys, s->tcti, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Startup(s->esys, TPM2_SU_CLEAR);
    if (rc != TSS2_RC_SUCCESS &&
        rc != TPM2_RC_INITIALIZE) // a running system has started it long ago
        return tpm_says("starting", rc, e);
    rc = Esys_TR_FromTPMPublic(s->esys, index, NONE, NONE, NONE, &s->index);
    if (rc == TSS2_RC_SUCCESS)
        return check_kind(s, e);
    s->index = NONE;
    return rc == HANDLE_FAULT ? 0 : tpm_says("finding the counter", rc, e);
}

static int define(struct session *s, uint32_t index, struct err *e) {
    const TPM2B_AUTH nobody = {.size = 0};
    const TPM2B_NV_PUBLIC public = {
        .nvPublic = {.nvIndex = index,
                     .nameAlg = TPM2_ALG_SHA256,
                     .attributes = (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT) | TPMA_NV_AUTHREAD |
                                   TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA,
                     .dataSize = VALUE_BYTES}};
    TSS2_RC rc = Esys_NV_DefineSpace(s->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, NONE, NONE,
                                     &nobody, &public, &s->index);
    return rc == TSS2_RC_SUCCESS ? 0 : tpm_says("making the counter", rc, e);
}

static int read_value(struct session *s, uint64_t *ret, struct err *e) {
    TPM2B_MAX_NV_BUFFER *data = NULL;
    TSS2_RC rc = Esys_NV_Read(s->esys, s->index, s->index, ESYS_TR_PASSWORD, NONE, NONE,
                              VALUE_BYTES, 0, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_says("reading the counter", rc, e);
    uint64_t value = 0;
    for (size_t i = 0; i < VALUE_BYTES && i < data->size; i++)
        value = value << 8 | data->buffer[i];
    bool whole = data->size == VALUE_BYTES;
    Esys_Free(data);
    if (!whole)
        return err_set(e, &err_io, "TPM: the counter's value is cut short");
    *ret = value;
    return 0;
}

int counter_tpm_read(const char *tcti, uint32_t index, uint64_t *ret, struct err *e) {
    __attribute__((cleanup(own_drop_session))) struct session s = {.index = NONE};
    if (open_session(tcti, index, &s, e) < 0)
        return -1;
    if (s.index == NONE)
        return err_set(e, &err_not_found, "TPM: there is no counter at index 0x%08x yet", index);
    return read_value(&s, ret, e);
}

int counter_tpm_increment(const char *tcti, uint32_t index, uint64_t *ret, struct err *e) {
    __attribute__((cleanup(own_drop_session))) struct session s = {.index = NONE};
    if (open_session(tcti, index, &s, e) < 0 || (s.index == NONE && define(&s, index, e) < 0))
        return -1;
    TSS2_RC rc = Esys_NV_Increment(s.esys, s.index, s.index, ESYS_TR_PASSWORD, NONE, NONE);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_says("raising the counter", rc, e);
    return read_value(&s, ret, e);
}
