# Modules for many processes, one for each MPI that is installed: asgd_openmpi.so, asgd_mpich.so, and
# asgd_mpi.so for one of another make.  They are loaded at run time (src/exchange/link.c), so that neither library
# nor program needs MPI.
#
#   ASGD_MPI_KINDS          what was built: openmpi, mpich, mpi
#   ASGD_MPIRUN_<kind>      its mpirun

set(ASGD_MPI_KINDS "")
set(asgd_modules_folder ${CMAKE_INSTALL_LIBDIR}/asgd)
file(RELATIVE_PATH from_program /prefix/${CMAKE_INSTALL_BINDIR} /prefix/${asgd_modules_folder})
set_property(SOURCE src/exchange/link.c APPEND PROPERTY COMPILE_DEFINITIONS
  ASGD_MODULES_FROM_PROGRAM="${from_program}"
  ASGD_MODULES_INSTALLED="${CMAKE_INSTALL_FULL_LIBDIR}/asgd")
if(NOT ASGD_MPI)
  return()
endif()

# Debian's compilers have the make in their name, so that several can be installed; what `mpicc` is decides elsewhere.
# Their flags are taken rather than the compilers themselves: the module is built by the same compiler as all else.
find_program(ASGD_MPICC_openmpi mpicc.openmpi)
find_program(ASGD_MPICC_mpich NAMES mpicc.mpich)
find_program(ASGD_MPICC_mpi mpicc)
mark_as_advanced(ASGD_MPICC_openmpi ASGD_MPICC_mpich ASGD_MPICC_mpi)

function(asgd_mpi_module kind mpicc)
  execute_process(COMMAND ${mpicc} -show OUTPUT_VARIABLE line RESULT_VARIABLE status ERROR_QUIET
    OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(status)
    message(WARNING "`${mpicc} -show` fails; no module for it")
    return()
  endif()
  separate_arguments(words UNIX_COMMAND "${line}")
  list(FILTER words INCLUDE REGEX "^-(I|D|L|l|Wl)")
  set(compile ${words})
  list(FILTER compile INCLUDE REGEX "^-(I|D)")
  list(FILTER words EXCLUDE REGEX "^-(I|D)")
  list(TRANSFORM compile REPLACE "^-I(.*)" "SHELL:-isystem \\1") # warnings about MPI's headers are nobody's here
  add_library(asgd_module_${kind} MODULE src/exchange/mpi/link_mpi.c src/exchange/mpi/messages.c
    src/exchange/mpi/meet.c src/exchange/mpi/sockets.c)
  set_target_properties(asgd_module_${kind} PROPERTIES PREFIX "" OUTPUT_NAME asgd_${kind}
    C_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  target_include_directories(asgd_module_${kind} PRIVATE src include)
  target_compile_options(asgd_module_${kind} PRIVATE ${compile})
  target_link_libraries(asgd_module_${kind} PRIVATE asgd_flags ${words} pthread)
  install(TARGETS asgd_module_${kind} LIBRARY DESTINATION ${asgd_modules_folder})

  get_filename_component(folder ${mpicc} DIRECTORY)
  get_filename_component(name ${mpicc} NAME)
  string(REPLACE mpicc mpirun name ${name})
  find_program(ASGD_MPIRUN_${kind} ${name} HINTS ${folder})
  mark_as_advanced(ASGD_MPIRUN_${kind})
  set(ASGD_MPI_KINDS ${ASGD_MPI_KINDS} ${kind} PARENT_SCOPE)
endfunction()

foreach(kind IN ITEMS openmpi mpich)
  if(ASGD_MPICC_${kind})
    asgd_mpi_module(${kind} ${ASGD_MPICC_${kind}})
  endif()
endforeach()
if(NOT ASGD_MPI_KINDS AND ASGD_MPICC_mpi)
  execute_process(COMMAND ${ASGD_MPICC_mpi} -show OUTPUT_VARIABLE line ERROR_QUIET)
  if(line MATCHES "openmpi|open-mpi|ompi")
    asgd_mpi_module(openmpi ${ASGD_MPICC_mpi})
  elseif(line MATCHES "mpich")
    asgd_mpi_module(mpich ${ASGD_MPICC_mpi})
  else()
    asgd_mpi_module(mpi ${ASGD_MPICC_mpi})
  endif()
endif()
if(ASGD_MPI_KINDS)
  list(JOIN ASGD_MPI_KINDS ", " kinds)
  message(STATUS "MPI: modules for ${kinds}")
elseif(ASGD_MPI STREQUAL AUTO)
  message(STATUS "MPI: none found (libopenmpi-dev, libmpich-dev); built for one process")
else()
  message(FATAL_ERROR "ASGD_MPI=ON, but no mpicc: apt-get install libopenmpi-dev openmpi-bin, or libmpich-dev mpich")
endif()
