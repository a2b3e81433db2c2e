"""Files and trees of files on local disks, HDFS and object stores."""
