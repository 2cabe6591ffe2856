/* What libjpeg says a JPEG's quantized coefficients are. Paths come on standard input, one a line; records go to standard
 * output, native byte order, text as int32 size and bytes:
 *   int32 status (0: libjpeg read the file; 1: it refused), number of warnings, number of names; the first warnings' names
 *   (JWRN_...); the refusal's text; and if it read the file: int32 color space, progressive, number of components; a
 *   component: int32 id, h, v, blocks down, blocks across, table present; 64 x uint16 table; int16 coefficients. All in
 *   natural order.
 * Build: cc -O2 libjpeg_coefficients.c -ljpeg */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* The codes' names, in the order of the installed header. */
#define JMESSAGE(code, string) code,
typedef enum {
#include <jerror.h>
  LAST_CODE
} message_code;
#undef JMAKE_ENUM_LIST
#undef JMESSAGE
#define JMESSAGE(code, string) #code,
static const char *const names[] = {
#include <jerror.h>
};

#define MOST_WARNINGS 20

struct errors {
  struct jpeg_error_mgr manager; /* first: libjpeg sees only this */
  jmp_buf refused;
  int codes[MOST_WARNINGS];
  char text[JMSG_LENGTH_MAX];
};

static void refuse(j_common_ptr info) {
  struct errors *errors = (struct errors *)info->err;
  errors->manager.format_message(info, errors->text);
  longjmp(errors->refused, 1);
}

static void note(j_common_ptr info, int level) {
  struct errors *errors = (struct errors *)info->err;
  if (level >= 0) return;
  if (errors->manager.num_warnings < MOST_WARNINGS) errors->codes[errors->manager.num_warnings] = errors->manager.msg_code;
  errors->manager.num_warnings++;
}

static void put(int32_t value) { fwrite(&value, sizeof value, 1, stdout); }

static void put_text(const char *text) {
  put((int32_t)strlen(text));
  fputs(text, stdout);
}

static void put_head(const struct errors *errors, int status) {
  long num_warnings = errors->manager.num_warnings;
  long num_names = num_warnings < MOST_WARNINGS ? num_warnings : MOST_WARNINGS;
  put(status);
  put((int32_t)num_warnings);
  put((int32_t)num_names);
  for (long i = 0; i < num_names; i++) put_text(errors->codes[i] < LAST_CODE ? names[errors->codes[i]] : "unknown");
  put_text(errors->text);
}

static void put_component(struct jpeg_decompress_struct *info, jvirt_barray_ptr plane, const jpeg_component_info *part) {
  static const uint16_t no_table[DCTSIZE2];
  put(part->component_id);
  put(part->h_samp_factor);
  put(part->v_samp_factor);
  put((int32_t)part->height_in_blocks);
  put((int32_t)part->width_in_blocks);
  put(part->quant_table != NULL);
  fwrite(part->quant_table ? part->quant_table->quantval : no_table, sizeof(uint16_t), DCTSIZE2, stdout);
  for (JDIMENSION row = 0; row < part->height_in_blocks; row++) {
    JBLOCKARRAY rows = info->mem->access_virt_barray((j_common_ptr)info, plane, row, 1, FALSE);
    fwrite(rows[0], sizeof(JBLOCK), part->width_in_blocks, stdout);
  }
}

static void dump(const char *path) {
  struct jpeg_decompress_struct info;
  struct errors errors;
  FILE *file = fopen(path, "rb");
  memset(&errors, 0, sizeof errors);
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = refuse;
  errors.manager.emit_message = note;
  if (!file) {
    strcpy(errors.text, "cannot open the file");
    put_head(&errors, 1);
    return;
  }
  jpeg_create_decompress(&info);
  if (setjmp(errors.refused)) {
    put_head(&errors, 1);
  } else {
    jpeg_stdio_src(&info, file);
    jpeg_read_header(&info, TRUE);
    jvirt_barray_ptr *planes = jpeg_read_coefficients(&info);
    put_head(&errors, 0);
    put(info.jpeg_color_space);
    put(info.progressive_mode);
    put(info.num_components);
    for (int i = 0; i < info.num_components; i++) put_component(&info, planes[i], &info.comp_info[i]);
  }
  jpeg_destroy_decompress(&info);
  fclose(file);
}

int main(void) {
  char path[4096];
  while (fgets(path, sizeof path, stdin)) {
    path[strcspn(path, "\n")] = '\0';
    dump(path);
    fflush(stdout);
  }
  return 0;
}
