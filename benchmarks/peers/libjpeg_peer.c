/* libjpeg-turbo from C, the peer of speed/jpeg_decode.py and speed/random_access.py: coefficients only, RGB, a crop of RGB. */
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

static void start(struct jpeg_decompress_struct *info, struct escape *error, const unsigned char *file, unsigned long size) {
  info->err = jpeg_std_error(&error->manager);
  error->manager.error_exit = leave;
  error->manager.emit_message = stay_silent;
  (void)file, (void)size;
}

/* Returns 0 where libjpeg gave the coefficients. */
int read_coefficients(const unsigned char *file, unsigned long size) {
  struct jpeg_decompress_struct info;
  struct escape error;
  start(&info, &error, file, size);
  if (setjmp(error.target)) {
    jpeg_destroy_decompress(&info);
    return 1;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  jpeg_read_coefficients(&info);
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return 0;
}

/* Returns 0 where libjpeg gave every row of RGB. */
int read_rgb(const unsigned char *file, unsigned long size) {
  struct jpeg_decompress_struct info;
  struct escape error;
  unsigned char *volatile pixels = NULL;
  start(&info, &error, file, size);
  if (setjmp(error.target)) {
    free(pixels);
    jpeg_destroy_decompress(&info);
    return 1;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  size_t stride = (size_t)info.output_width * 3;
  pixels = malloc(stride * info.output_height);
  if (!pixels) longjmp(error.target, 1);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels + stride * info.output_scanline;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  free(pixels);
  return 0;
}

/* Returns 0 where libjpeg gave the rows of RGB of a crop, as wide as whole MCUs make it. */
int read_rgb_crop(const unsigned char *file, unsigned long size, unsigned top, unsigned left, unsigned height,
                  unsigned width) {
  struct jpeg_decompress_struct info;
  struct escape error;
  unsigned char *volatile pixels = NULL;
  start(&info, &error, file, size);
  if (setjmp(error.target)) {
    free(pixels);
    jpeg_destroy_decompress(&info);
    return 1;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, file, size);
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  jpeg_crop_scanline(&info, &left, &width);
  jpeg_skip_scanlines(&info, top);
  size_t stride = (size_t)info.output_width * 3;
  pixels = malloc(stride * height);
  if (!pixels) longjmp(error.target, 1);
  for (unsigned row = 0; row < height; row += 1) {
    JSAMPROW line = pixels + stride * row;
    jpeg_read_scanlines(&info, &line, 1);
  }
  jpeg_abort_decompress(&info);
  jpeg_destroy_decompress(&info);
  free(pixels);
  return 0;
}
