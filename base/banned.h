// SPDX-License-Identifier: Apache-2.0
//
// Calls that this project does not make: each is hard to use safely, and something better is at hand.
// The build includes this file before every source of ours, so that such a call does not compile; the
// name in the compiler's message says what to use instead.
//
// The headers that declare the calls come first: their own declarations must not meet the macros. A
// macro with parameters leaves a struct member or a variable of the same name alone; taking the address
// of a banned function is found by tests/lint/banned.py.

#ifndef EDGE_BASE_BANNED_H
#define EDGE_BASE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Copies and formats without a bound, or with one that drops the terminator.
#undef strcpy
#define strcpy(...) banned_strcpy_use_snprintf_or_base_buf
#undef strcat
#define strcat(...) banned_strcat_use_snprintf_or_base_buf
#undef strncpy
#define strncpy(...) banned_strncpy_use_snprintf_or_memcpy_of_a_checked_length
#undef strncat
#define strncat(...) banned_strncat_use_snprintf_or_base_buf
#undef sprintf
#define sprintf(...) banned_sprintf_use_snprintf
#undef vsprintf
#define vsprintf(...) banned_vsprintf_use_vsnprintf
#undef gets
#define gets(...) banned_gets_use_getline_with_a_ceiling

// Numbers: these cannot say that the text was not a number.
#undef atoi
#define atoi(...) banned_atoi_use_base_num
#undef atol
#define atol(...) banned_atol_use_base_num
#undef atoll
#define atoll(...) banned_atoll_use_base_num

// Hidden state shared by threads and callers.
#undef strtok
#define strtok(...) banned_strtok_use_strcspn_or_strchr
#undef rand
#define rand(...) banned_rand_use_base_random
#undef srand
#define srand(...) banned_srand_use_base_random

// A size from outside must not choose the depth of the stack.
#undef alloca
#define alloca(...) banned_alloca_use_malloc_or_a_fixed_array

// A shell between us and a program, and names that another process can take first.
#undef system
#define system(...) banned_system_use_base_proc
#undef popen
#define popen(...) banned_popen_use_base_proc
#undef tmpnam
#define tmpnam(...) banned_tmpnam_use_base_fs
#undef mktemp
#define mktemp(...) banned_mktemp_use_base_fs

#endif
