# What libasgd is built on.  Everything missing is named at once, by its Debian package.
#
#   ASGD_INCLUDES       folders of their headers
#   ASGD_LIBRARIES      the libraries as found here
#   ASGD_LIBRARY_NAMES  the same by name, for who links the installed static library

set(ASGD_INCLUDES "")
set(ASGD_LIBRARIES "")
set(ASGD_LIBRARY_NAMES "")
set(missing "")
foreach(line IN ITEMS
    "oneapi/dnnl/dnnl.h dnnl libdnnl-dev"
    "hwloc.h hwloc libhwloc-dev"
    "zlib.h z zlib1g-dev"
    "lzma.h lzma liblzma-dev"
    "bzlib.h bz2 libbz2-dev"
    "zstd.h zstd libzstd-dev"
    "jansson.h jansson libjansson-dev")
  separate_arguments(line)
  list(GET line 0 header)
  list(GET line 1 library)
  list(GET line 2 package)
  find_path(ASGD_${library}_INCLUDE ${header})
  find_library(ASGD_${library}_LIBRARY ${library})
  mark_as_advanced(ASGD_${library}_INCLUDE ASGD_${library}_LIBRARY)
  if(ASGD_${library}_INCLUDE AND ASGD_${library}_LIBRARY)
    list(APPEND ASGD_INCLUDES ${ASGD_${library}_INCLUDE})
    list(APPEND ASGD_LIBRARIES ${ASGD_${library}_LIBRARY})
    list(APPEND ASGD_LIBRARY_NAMES ${library})
  else()
    list(APPEND missing ${package})
  endif()
endforeach()
if(missing)
  list(JOIN missing " " missing)
  message(FATAL_ERROR "missing libraries; run scripts/setup, or: apt-get install ${missing}")
endif()
list(REMOVE_DUPLICATES ASGD_INCLUDES)

# oneDNN brings GNU OpenMP; libasgd tells it to use one thread per worker.  Under clang too it must be
# GNU's, or the setting would be made in the wrong runtime.
list(APPEND ASGD_LIBRARIES gomp pthread m ${CMAKE_DL_LIBS})
list(APPEND ASGD_LIBRARY_NAMES gomp pthread m ${CMAKE_DL_LIBS})
