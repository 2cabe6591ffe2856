/* Parts of libjpeg-turbo's decoding, the subject of benchmarks/accuracy/claims_decoder.py: each decodes one buffer as
   far as its options say, into memory that is dropped. */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct escape {
  struct jpeg_error_mgr manager;
  jmp_buf target;
};

static void leave(j_common_ptr info) { longjmp(((struct escape *)info->err)->target, 1); }
static void stay_silent(j_common_ptr info, int level) { (void)info, (void)level; }

/* Samples of each component before upsampling: entropy decoding, dequantization and inverse DCT. */
static void read_raw(struct jpeg_decompress_struct *info) {
  JSAMPARRAY planes[MAX_COMPONENTS];
  jpeg_start_decompress(info);
  for (int c = 0; c < info->num_components; c++) {
    jpeg_component_info *component = &info->comp_info[c];
    planes[c] = (*info->mem->alloc_sarray)((j_common_ptr)info, JPOOL_IMAGE,
                                           component->width_in_blocks * component->DCT_scaled_size,
                                           component->v_samp_factor * component->DCT_scaled_size);
  }
  unsigned rows = info->max_v_samp_factor * info->min_DCT_scaled_size;
  while (info->output_scanline < info->output_height) jpeg_read_raw_data(info, planes, rows);
}

static void read_rows(struct jpeg_decompress_struct *info, unsigned char *volatile *pixels) {
  jpeg_start_decompress(info);
  size_t stride = (size_t)info->output_width * info->output_components;
  *pixels = malloc(stride * info->output_height);
  if (!*pixels) longjmp(((struct escape *)info->err)->target, 1);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = *pixels + stride * info->output_scanline;
    jpeg_read_scanlines(info, &row, 1);
  }
}

/* Decodes with samples of `eighths` / 8 of the size. `colors`: 0 raw samples, 1 gray, 2 YCbCr, 3 RGB; below 0,
   coefficients alone. Returns 0, or 1 where libjpeg refused. */
int decode_stage(const unsigned char *file, unsigned long size, int colors, int eighths, int fancy) {
  struct jpeg_decompress_struct info;
  struct escape error;
  unsigned char *volatile pixels = NULL;
  info.err = jpeg_std_error(&error.manager);
  error.manager.error_exit = leave;
  error.manager.emit_message = stay_silent;
  if (setjmp(error.target)) {
    jpeg_destroy_decompress(&info);
    free(pixels);
    return 1;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  info.scale_num = eighths;
  info.scale_denom = 8;
  info.do_fancy_upsampling = fancy;
  info.raw_data_out = colors == 0;
  if (colors == 1) info.out_color_space = JCS_GRAYSCALE;
  if (colors == 2) info.out_color_space = JCS_YCbCr;
  if (colors == 3) info.out_color_space = JCS_RGB;
  if (colors < 0) {
    jpeg_read_coefficients(&info);
  } else if (colors == 0) {
    read_raw(&info);
  } else {
    read_rows(&info, &pixels);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  free(pixels);
  return 0;
}
