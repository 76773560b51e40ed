/* A plug-in for GIMP 2.10: Filters > Enhance > Take people apart (MILD).
 *
 * The image is saved as PNG, `mild layers` makes a PSD of it (the background without anybody, and one layer per person),
 * and GIMP opens that. The program is $MILD, or `mild` where the shell would find it. Nothing leaves the machine.
 *
 * A plug-in in C, since Debian's GIMP 2.10 has no Python any more.
 */
#include <libgimp/gimp.h>
#include <glib/gstdio.h>

#define PROCEDURE "plug-in-mild-layers"

static void query (void);
static void run (const gchar *name, gint count, const GimpParam *given, gint *returned, GimpParam **values);

const GimpPlugInInfo PLUG_IN_INFO = { NULL, NULL, query, run };

MAIN ()

static void
query (void)
{
  static const GimpParamDef arguments[] = {
    { GIMP_PDB_INT32, "run-mode", "Interactive or not" },
    { GIMP_PDB_IMAGE, "image", "The photo" },
    { GIMP_PDB_DRAWABLE, "drawable", "Not used" }
  };
  static const GimpParamDef results[] = { { GIMP_PDB_IMAGE, "layers", "The photo in layers" } };

  gimp_install_procedure (PROCEDURE, "The background without anybody, and one layer per person",
                          "Runs `mild layers` on the image and opens what it makes.", "The MILD developers",
                          "Apache-2.0", "2026", "Take people _apart (MILD)", "RGB*, GRAY*", GIMP_PLUGIN,
                          G_N_ELEMENTS (arguments), G_N_ELEMENTS (results), arguments, results);
  gimp_plugin_menu_register (PROCEDURE, "<Image>/Filters/Enhance");
}

/* The photo in layers; -1, and a sentence in error, if there is none. */
static gint32
taken_apart (gint32 image, const gchar *folder, gchar **error)
{
  const gchar *program = g_getenv ("MILD") ? g_getenv ("MILD") : "mild";
  gchar *photo = g_build_filename (folder, "photo.png", NULL);
  gchar *layers = g_build_filename (folder, "layers.psd", NULL);
  gchar *command[] = { (gchar *) program, "layers", photo, "-o", layers, NULL };
  gchar *said = NULL;
  GError *fault = NULL;
  gint status = 0;
  gint32 result = -1;
  gint32 flat = gimp_image_duplicate (image);
  gint32 merged = gimp_image_merge_visible_layers (flat, GIMP_CLIP_TO_IMAGE);

  if (! gimp_file_save (GIMP_RUN_NONINTERACTIVE, flat, merged, photo, photo))
    *error = g_strdup ("The image cannot be saved for MILD.");
  else if (! g_spawn_sync (NULL, command, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                           &said, &status, &fault))
    *error = g_strdup_printf ("MILD cannot be started (%s): install it, or set MILD to its path.", fault->message);
  else if (! g_spawn_check_wait_status (status, NULL))
    {
      /* Its last line is one sentence that says what is wrong. */
      gchar *last = g_strrstr (g_strchomp (said), "mild: ");
      *error = g_strdup (last ? last + strlen ("mild: ") : "MILD failed and did not say why.");
    }
  else
    {
      result = gimp_file_load (GIMP_RUN_NONINTERACTIVE, layers, layers);
      if (result == -1)
        *error = g_strdup ("GIMP cannot open the layers that MILD made.");
    }
  gimp_image_delete (flat);
  g_clear_error (&fault);
  g_unlink (photo);
  g_unlink (layers);
  g_free (said);
  g_free (photo);
  g_free (layers);
  return result;
}

static void
run (const gchar *name, gint count, const GimpParam *given, gint *returned, GimpParam **values)
{
  static GimpParam result[2];
  GimpRunMode mode = given[0].data.d_int32;
  gchar *error = NULL;
  gchar *folder = g_dir_make_tmp ("mild-XXXXXX", NULL);
  gint32 image = -1;

  gegl_init (NULL, NULL);
  gimp_progress_init ("Taking people apart");
  if (folder)
    image = taken_apart (given[1].data.d_image, folder, &error);
  else
    error = g_strdup ("There is no folder for temporary files.");
  if (image != -1 && mode != GIMP_RUN_NONINTERACTIVE)
    gimp_display_new (image);
  if (folder)
    g_rmdir (folder);

  *returned = 2;
  *values = result;
  result[0].type = GIMP_PDB_STATUS;
  if (image != -1)
    {
      result[0].data.d_status = GIMP_PDB_SUCCESS;
      result[1].type = GIMP_PDB_IMAGE;
      result[1].data.d_image = image;
    }
  else
    {
      result[0].data.d_status = GIMP_PDB_EXECUTION_ERROR;
      result[1].type = GIMP_PDB_STRING;
      result[1].data.d_string = error;
    }
}
